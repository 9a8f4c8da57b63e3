"""The number of a report: what a signature under it stands for."""

from __future__ import annotations

from collections.abc import Iterable

from clinical_qkt.core.files import digest_of


def report_id(weights: str, test: str, rule: str, assessments: Iterable[str] = ()) -> str:
    """Twelve digits that are the same wherever the same model was judged by the same rule and evidence.

    Args:
        weights, test, rule: digests.
        assessments: digests of the cards of what other hospitals measured.

    >>> report_id("a", "b", "c")
    'EA7F-B08B-7A2D'
    """
    short = digest_of("\n".join((weights, test, rule, *sorted(assessments))))[:12].upper()
    return "-".join(short[i : i + 4] for i in (0, 4, 8))
