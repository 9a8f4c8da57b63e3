"""What an answer means where the class is rarer, or more common, than among the test images.

Bayes' theorem, of a share found and a share of false alarms that do not depend on how common the class is.
"""

from __future__ import annotations

from collections.abc import Sequence

from clinical_qkt.evidence.evaluation import BaseRate
from clinical_qkt.evidence.intervals import LEVEL, Array, Interval, share

LADDER = (50.0, 10.0, 5.0, 1.0, 0.1)
"""In percent: shares of images that show the class, for whoever does not know the own one."""
BOTH = 1 - (1 - LEVEL) / 2
"""Level of each of two intervals, so that both hold at once with 95 % (Bonferroni)."""


def at(
    prevalence: float,
    found: float,
    alarms: float,
    found_ci: Interval,
    alarms_ci: Interval,
    *,
    own: bool = False,
) -> BaseRate:
    """Predictive values at a prevalence, with intervals from the bad ends and the good ends of both shares.

    Args:
        prevalence: share of images that show the class, in ``(0, 1)``.
        found, found_ci: of images of the class, the share called so.
        alarms, alarms_ci: of other images, the share called so.
        own: whether it is the site's own prevalence.

    Returns:
        A predictive value is None where nothing at all is called so, or nothing is not.

    >>> told = at(0.01, found=0.9, alarms=0.05, found_ci=[0.8, 0.95], alarms_ci=[0.03, 0.08])
    >>> round(told.ppv, 2), [round(end, 2) for end in told.ppv_ci95]
    (0.15, [0.09, 0.24])
    >>> round(told.false_alarms_per_1000, 1), round(told.missed_per_1000, 1)
    (49.5, 1.0)
    """

    def right_when_named(s: float, f: float) -> float | None:
        named = s * prevalence + f * (1 - prevalence)
        return s * prevalence / named if named > 0 else None

    def right_when_not(s: float, f: float) -> float | None:
        unnamed = (1 - s) * prevalence + (1 - f) * (1 - prevalence)
        return (1 - f) * (1 - prevalence) / unnamed if unnamed > 0 else None

    (low, high), (few, many) = found_ci, alarms_ci
    return BaseRate(
        own=own,
        prevalence=prevalence,
        ppv=right_when_named(found, alarms),
        ppv_ci95=[right_when_named(low, many) or 0.0, _or_one(right_when_named(high, few))],
        npv=right_when_not(found, alarms),
        npv_ci95=[right_when_not(low, many) or 0.0, _or_one(right_when_not(high, few))],
        false_alarms_per_1000=1000 * alarms * (1 - prevalence),
        false_alarms_per_1000_ci95=[1000 * f * (1 - prevalence) for f in alarms_ci],
        missed_per_1000=1000 * (1 - found) * prevalence,
        missed_per_1000_ci95=[1000 * (1 - high) * prevalence, 1000 * (1 - low) * prevalence],
    )


def ladder(
    found: Array,
    alarms: Array,
    own: float | None,
    patients: tuple[Array, Array] | None = None,
    rungs: Sequence[float] = LADDER,
) -> list[BaseRate]:
    """``at`` for the site's own prevalence, if it is told, and for those of the ladder.

    Args:
        found: ``(n,)`` booleans, of each test image of the class whether it is called so.
        alarms: ``(m,)`` booleans, likewise of the other test images.
        own: the site's prevalence in percent.
        patients: whose images these and those are, where patients are named.
        rungs: in percent.

    Returns:
        One entry each, the own one first; ``own`` says which it is. Empty where the class or the others have
        no test images.

    >>> import numpy as np
    >>> rungs = ladder(np.arange(20) < 18, np.arange(100) < 5, own=2.0, rungs=[50.0, 2.0])
    >>> [(rung.own, rung.prevalence, round(rung.ppv, 2)) for rung in rungs]
    [(True, 0.02, 0.27), (False, 0.5, 0.95)]
    """
    whose = patients or (None, None)
    ends = [share(hits, who, BOTH) for hits, who in zip((found, alarms), whose, strict=True)]
    if ends[0] is None or ends[1] is None:
        return []
    rates = float(found.mean()), float(alarms.mean())
    told = [] if own is None else [(own, True)]
    told += [(rung, False) for rung in rungs if rung != own]
    return [at(p / 100, *rates, ends[0], ends[1], own=mine) for p, mine in told]


def _or_one(value: float | None) -> float:
    return 1.0 if value is None else value
