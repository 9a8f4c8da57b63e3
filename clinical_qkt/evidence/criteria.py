"""The site's rule against what test images show: each criterion at its bad end, and the verdict.

A criterion is met where even the bad end of its 95 % interval meets the limit, failed where even the good end
does not, and undecided in between, or where nothing was measured: then more test images would tell.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from scipy.optimize import brentq

from clinical_qkt.core.terms import ACCEPTED, REFUSED, UNDECIDED, Verdict
from clinical_qkt.evidence.acceptance import Acceptance
from clinical_qkt.evidence.evaluation import (
    Bound,
    Criterion,
    CriterionName,
    Evaluation,
    Forgetting,
    Outcome,
    Tested,
)
from clinical_qkt.evidence.intervals import Interval, proportion

MET: Final = "met"
FAILED: Final = "failed"
OPEN: Final = "undecided"
AT_LEAST: Final = "at least"
AT_MOST: Final = "at most"
NOTHING = Tested(images=0)
MOST = 1_000_000
"""More images than these are no advice."""
_FEWEST = 1e-3
"""So few independent images, at least, does any number of images count as."""


@dataclass(frozen=True)
class Found:
    """A share with its interval, and on what it was measured."""

    share: float | None
    ci95: Interval | None
    tested: Tested


@dataclass(frozen=True)
class Heard:
    """What the criteria on recall of queried classes and on false alarms are held against."""

    query_recall: Found
    false_alarms: Found


def on_own_images(after: Evaluation) -> Heard:
    """By the own test images; ``evidence.others`` has what other hospitals' show."""
    tested, alarms = after.tested, after.false_alarms.overall
    recall = Found(after.query_recall, after.query_recall_ci95, tested.queried)
    return Heard(recall, Found(alarms.share, alarms.ci95, tested.retained))


@dataclass(frozen=True)
class Decision:
    """The verdict, and the criteria that it follows from."""

    verdict: Verdict
    criteria: list[Criterion]


def decision(
    after: Evaluation,
    lost: Forgetting,
    budget: float,
    rule: Acceptance,
    own: frozenset[str],
    heard: Heard | None = None,
) -> Decision:
    """Whether the model may be accepted, by what it does on test images.

    Args:
        after: what the new model does.
        lost: what it lost.
        budget: the forgetting budget in points.
        rule: the site's.
        own: the names of the criteria whose limit the hospital wrote itself.
        heard: what two of the criteria are held against; the own test images if None.
    """
    tested, doubt, held = after.tested, after.calibration, partial(_criterion, own)
    heard = heard or on_own_images(after)
    recall, alarms = heard.query_recall, heard.false_alarms
    found = [
        held(
            "query_recall",
            AT_LEAST,
            rule.query_recall,
            (recall.share, recall.ci95),
            recall.tested,
            of_share=len(after.per_class) - len(lost.per_class) == 1,
        ),
        held(
            "false_alarms",
            AT_MOST,
            rule.false_alarms,
            (alarms.share, alarms.ci95),
            alarms.tested,
            of_share=True,
        ),
        held("forgetting", AT_MOST, budget, (lost.mean_loss, lost.mean_loss_ci95), tested.retained),
        held(
            "worst_forgetting",
            AT_MOST,
            rule.worst_forgetting,
            (lost.worst, lost.worst_ci95),
            _images_of(after, lost.worst_class),
            about=lost.worst_class,
        ),
        held("calibration_error", AT_MOST, rule.calibration_error, (doubt.error, doubt.ci95), tested.all),
    ]
    return Decision(verdict([c.outcome for c in found]), found)


def _images_of(after: Evaluation, name: str | None) -> Tested:
    """The test images of one class."""
    if name is None:
        return NOTHING
    row = after.per_class[name]
    return Tested(images=row.support, patients=row.patients)


def verdict(outcomes: Sequence[str]) -> Verdict:
    """Of all criteria together: one that failed refuses, one that is open leaves it open.

    >>> verdict([MET, OPEN]), verdict([MET, OPEN, FAILED]), verdict([MET, MET])
    ('cannot be decided', 'not accepted', 'accepted')
    """
    if FAILED in outcomes:
        return REFUSED
    return UNDECIDED if OPEN in outcomes else ACCEPTED


def outcome(bound: Bound, limit: float, ends: Interval | None) -> Outcome:
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
    bound: Bound, limit: float, measured: float | None, ends: Interval, images: int, *, of_share: bool
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
        needed = least and least * images / counted_as(measured, ends, images)
    else:
        end = ends[1] if limit > measured else ends[0]
        needed = images * ((end - measured) / (limit - measured)) ** 2
    return max(math.ceil(needed), images + 1) if needed and needed <= MOST else None


def counted_as(share: float, ends: Interval, images: int) -> float:
    """Of how many independent images a share has just such an interval; of ``images`` at most.

    >>> round(counted_as(0.9, proportion(45, 50), 100))
    50
    """

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
    own: frozenset[str],
    name: CriterionName,
    bound: Bound,
    limit: float,
    measured: tuple[float | None, Interval | None],
    tested: Tested,
    *,
    about: str | None = None,
    of_share: bool = False,
) -> Criterion:
    """One part of the rule.

    Args:
        own: the names of the criteria whose limit the hospital wrote itself.
        limit: in points, or of 100 images.
        measured: the share and its interval.
        tested: on how many images of how many patients.
        about: the class, where it is about one.
        of_share: whether it is a share of images.
    """
    share, ends = measured
    found, needed = outcome(bound, limit / 100, ends), None
    if found == OPEN:
        needed = _needed(bound, limit / 100, measured, tested.images, of_share=of_share)
    return Criterion(
        name=name,
        about=about,
        bound=bound,
        limit=limit,
        measured=share,
        ci95=ends,
        outcome=found,
        images=tested.images,
        patients=tested.patients,
        images_needed=needed,
        written_by="hospital" if name in own else "software",
    )


def _needed(
    bound: Bound,
    limit: float,
    measured: tuple[float | None, Interval | None],
    images: int,
    *,
    of_share: bool,
) -> int | None:
    """About how many images would decide; where nothing was measured, if all were as good as can be."""
    share, ends = measured
    if ends is not None:
        return images_needed(bound, limit, share, ends, images, of_share=of_share)
    best = 1.0 if bound == AT_LEAST else 0.0
    return _least(lambda n: outcome(bound, limit, proportion(best * n, n)) == MET)


def _holds(bound: Bound, value: float, limit: float) -> bool:
    return value >= limit if bound == AT_LEAST else value <= limit
