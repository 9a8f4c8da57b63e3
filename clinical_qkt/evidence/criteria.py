"""The site's rule against what test images show: each criterion at its bad end, and the verdict.

A criterion is met where even the bad end of its 95 % interval meets the limit, failed where even the good end
does not, and undecided in between, or where nothing was measured: then more test images would tell.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Mapping
from typing import Any

from scipy.optimize import brentq

from clinical_qkt.core.terms import ACCEPTED, REFUSED, UNDECIDED
from clinical_qkt.evidence.acceptance import Acceptance
from clinical_qkt.evidence.intervals import Interval, proportion

MET, FAILED, OPEN = "met", "failed", "undecided"
AT_LEAST, AT_MOST = "at least", "at most"
NOTHING = {"images": 0, "patients": None}
MOST = 1_000_000
"""More images than these are no advice."""
_FEWEST = 1e-3
"""So few independent images, at least, does any number of images count as."""


def decision(
    after: Mapping[str, Any], lost: Mapping[str, Any], budget: float, rule: Acceptance, own: frozenset[str]
) -> dict[str, Any]:
    """Whether the model may be accepted, by what it does on test images.

    Args:
        after: that part of the summary.
        lost: see ``losses.lost``.
        budget: the forgetting budget in points.
        rule: the site's.
        own: the names of the criteria whose limit the hospital wrote itself.

    Returns:
        ``{verdict, criteria}``, see ``summary_schema``.
    """
    rows, tested, alarms = after["per_class"], after["tested"], after["false_alarms"]["overall"]
    worst, doubt = lost["worst_class"], after["calibration"]
    found = [
        _criterion(
            "query_recall",
            AT_LEAST,
            rule.query_recall,
            (after["query_recall"], after["query_recall_ci95"]),
            tested["queried"],
            of_share=len(rows) - len(lost["per_class"]) == 1,
        ),
        _criterion(
            "false_alarms",
            AT_MOST,
            rule.false_alarms,
            (alarms["share"], alarms["ci95"]),
            tested["retained"],
            of_share=True,
        ),
        _criterion(
            "forgetting", AT_MOST, budget, (lost["mean_loss"], lost["mean_loss_ci95"]), tested["retained"]
        ),
        _criterion(
            "worst_forgetting",
            AT_MOST,
            rule.worst_forgetting,
            (lost["worst"], lost["worst_ci95"]),
            {"images": rows[worst]["support"], "patients": rows[worst]["patients"]} if worst else NOTHING,
        )
        | {"about": worst},
        _criterion(
            "calibration_error",
            AT_MOST,
            rule.calibration_error,
            (doubt["error"], doubt["ci95"]),
            tested["all"],
        ),
    ]
    for criterion in found:
        criterion["written_by"] = "hospital" if criterion["name"] in own else "software"
    return {"verdict": verdict([c["outcome"] for c in found]), "criteria": found}


def verdict(outcomes: list[str]) -> str:
    """Of all criteria together: one that failed refuses, one that is open leaves it open.

    >>> verdict([MET, OPEN]), verdict([MET, OPEN, FAILED]), verdict([MET, MET])
    ('cannot be decided', 'not accepted', 'accepted')
    """
    if FAILED in outcomes:
        return REFUSED
    return UNDECIDED if OPEN in outcomes else ACCEPTED


def outcome(bound: str, limit: float, ends: Interval | None) -> str:
    """Of one criterion.

    Args:
        bound: ``at least`` or ``at most``.
        limit: as a share.
        ends: the interval; None if nothing was measured.

    >>> [outcome(AT_LEAST, 0.5, ends) for ends in ([0.6, 0.9], [0.4, 0.9], [0.1, 0.4], None)]
    ['met', 'undecided', 'failed', 'undecided']
    """
    if ends is None:
        return OPEN
    good, bad = (ends[1], ends[0]) if bound == AT_LEAST else (ends[0], ends[1])
    if _holds(bound, bad, limit):
        return MET
    return OPEN if _holds(bound, good, limit) else FAILED


def images_needed(
    bound: str, limit: float, measured: float | None, ends: Interval, images: int, *, of_share: bool
) -> int | None:
    """About how many images would decide, if the same were measured on them.

    Of a share the exact interval is tried out; where images of one patient resemble one another, as many more
    are needed as these count for fewer. Other intervals shrink with the square root.

    Args:
        of_share: whether it is a share of images.

    Returns:
        None where no reasonable number would, as where exactly the limit was measured.

    >>> images_needed(AT_LEAST, 0.5, 0.75, [0.35, 0.97], 8, of_share=True)  # after 6 of 8
    20
    """
    if measured is None or measured == limit:
        return None
    if of_share:
        least = _least(lambda n: outcome(bound, limit, proportion(measured * n, n)) != OPEN)
        needed = least and least * images / _counted_as(measured, ends, images)
    else:
        end = ends[1] if limit > measured else ends[0]
        needed = images * ((end - measured) / (limit - measured)) ** 2
    return max(math.ceil(needed), images + 1) if needed and needed <= MOST else None


def _counted_as(share: float, ends: Interval, images: int) -> float:
    """Of how many independent images a share has just such an interval."""

    def wider(n: float) -> float:
        low, high = proportion(share * n, n) or [0.0, 1.0]
        return high - low - (ends[1] - ends[0])

    return float(brentq(wider, _FEWEST, images)) if wider(images) < 0 < wider(_FEWEST) else float(images)


def _least(decides: Callable[[int], bool]) -> int | None:
    """The least number of images with which something is decided; None beyond ``MOST``."""
    high = 1
    while not decides(high):
        if high > MOST:
            return None
        high *= 2
    return bisect.bisect_left(range(high // 2, high), True, key=decides) + high // 2


def _criterion(
    name: str,
    bound: str,
    limit: float,
    measured: tuple[float | None, Interval | None],
    tested: Mapping[str, Any],
    *,
    of_share: bool = False,
) -> dict[str, Any]:
    """One part of the rule.

    Args:
        limit: in points, or of 100 images.
        measured: the share and its interval.
        tested: on how many ``images`` of how many ``patients``.
        of_share: whether it is a share of images.
    """
    share, ends = measured
    found = outcome(bound, limit / 100, ends)
    needed = None
    if found == OPEN:
        if ends is None:
            best = 1.0 if bound == AT_LEAST else 0.0
            needed = _least(lambda n: outcome(bound, limit / 100, proportion(best * n, n)) == MET)
        else:
            needed = images_needed(bound, limit / 100, share, ends, tested["images"], of_share=of_share)
    return {
        "name": name,
        "about": None,
        "bound": bound,
        "limit": limit,
        "measured": share,
        "ci95": ends,
        "outcome": found,
        "images": tested["images"],
        "patients": tested["patients"],
        "images_needed": needed,
    }


def _holds(bound: str, value: float, limit: float) -> bool:
    return value >= limit if bound == AT_LEAST else value <= limit
