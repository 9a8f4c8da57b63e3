"""The site's rule against what test images show: each criterion at its bad end, and the verdict.

A criterion is met where even the bad end of its 95 % interval meets the limit, failed where even the good end
does not, and undecided in between, or where nothing was measured: then more test images would tell.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from clinical_qkt.acceptance import Acceptance
from clinical_qkt.evidence.intervals import LEVEL, Interval, proportion
from clinical_qkt.terms import ACCEPTED, REFUSED, UNDECIDED

MET, FAILED, OPEN = "met", "failed", "undecided"
AT_LEAST, AT_MOST = "at least", "at most"
NOTHING = {"images": 0, "patients": None}
MOST = 1_000_000
"""More images than these are no advice."""


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
        ),
        _criterion(
            "false_alarms", AT_MOST, rule.false_alarms, (alarms["share"], alarms["ci95"]), tested["retained"]
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
    """Of all criteria together: one that failed refuses, one that is open leaves it open."""
    if FAILED in outcomes:
        return REFUSED
    return UNDECIDED if OPEN in outcomes else ACCEPTED


def outcome(asked: str, limit: float, ends: Interval | None) -> str:
    """Of one criterion.

    Args:
        asked: ``at least`` or ``at most``.
        limit: as a share.
        ends: the interval; None if nothing was measured.
    """
    if ends is None:
        return OPEN
    good, bad = (ends[1], ends[0]) if asked == AT_LEAST else (ends[0], ends[1])
    if _holds(asked, bad, limit):
        return MET
    return OPEN if _holds(asked, good, limit) else FAILED


def images_needed(limit: float, measured: float | None, ends: Interval, images: int) -> int | None:
    """About how many images would decide, if the same were measured on them.

    Intervals shrink with the square root of the number of images, and at a share of 0 or 1 with the number.

    Returns:
        None where no reasonable number would, as where exactly the limit was measured.
    """
    if measured is None or measured == limit:
        return None
    end = ends[_end_towards(measured, limit)]
    if measured in (0.0, 1.0):
        return _few(measured, limit)
    needed = images * ((end - measured) / (limit - measured)) ** 2
    return math.ceil(needed) if needed <= MOST else None


def _criterion(
    name: str,
    asked: str,
    limit: float,
    measured: tuple[float | None, Interval | None],
    tested: Mapping[str, Any],
) -> dict[str, Any]:
    """One part of the rule.

    Args:
        limit: in points, or of 100 images.
        measured: the share and its interval.
        tested: on how many ``images`` of how many ``patients``.
    """
    share, ends = measured
    found = outcome(asked, limit / 100, ends)
    needed = None
    if found == OPEN:
        if ends is None:
            needed = _few(1.0 if asked == AT_LEAST else 0.0, limit / 100)
        else:
            needed = images_needed(limit / 100, share, ends, tested["images"])
    return {
        "name": name,
        "about": None,
        "asked": asked,
        "limit": limit,
        "measured": share,
        "ci95": ends,
        "outcome": found,
        "images": tested["images"],
        "patients": tested["patients"],
        "images_needed": needed,
    }


def _few(measured: float, limit: float) -> int | None:
    """How many images show by themselves that none, or all, keep the limit."""
    for n in range(1, 10_000):
        low, high = proportion(measured * n, n, LEVEL) or [0.0, 1.0]
        if (measured == 0 and high <= limit) or (measured == 1 and low >= limit):
            return n
    return None


def _end_towards(measured: float, limit: float) -> int:
    """Which end of the interval lies on the limit's side."""
    return 1 if limit > measured else 0


def _holds(asked: str, value: float, limit: float) -> bool:
    return value >= limit if asked == AT_LEAST else value <= limit
