"""How well a score tells two kinds of images apart, with its interval."""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, logit
from scipy.stats import norm, rankdata

from clinical_qkt.evidence.intervals import LEVEL, Array, Interval


def auroc(
    high: Array,
    low: Array,
    patients: tuple[Array, Array] | None = None,
    level: float = LEVEL,
) -> tuple[float | None, Interval | None]:
    """The chance that an image of the first kind has a higher score than one of the second; ties count half.

    The interval is the wider one, at each end, of two: DeLong's variance (Biometrics 1988), summed by patient
    where patients are named (Obuchowski, Biometrics 1997), on the logit scale; and Newcombe's (Statistics in
    Medicine 2006, method 5), which asks of each possible truth whether what was found is likely under it.
    The first alone is too narrow where nearly all pairs are in order.

    Args:
        high, low: ``(m,)`` and ``(n,)`` scores; those of ``high`` should be higher.
        patients: whose images these and those are.

    Returns:
        The area and its interval, both None where one of the two has no image.

    >>> area, ends = auroc(np.array([0.9, 0.8, 0.4]), np.array([0.1, 0.5]))  # one of six pairs is wrong
    >>> round(area, 3), [round(end, 2) for end in ends]
    (0.833, [0.23, 0.99])
    """
    m, n = len(high), len(low)
    if not m or not n:
        return None, None
    ranks, mine, theirs = rankdata(np.concatenate([high, low])), rankdata(high), rankdata(low)
    above = (ranks[:m] - mine) / n  # of each image of the first kind, how many of the second are below it
    below = 1 - (ranks[m:] - theirs) / m
    area = float(np.clip(above.mean(), 0, 1))
    pull = np.concatenate([(above - area) / m, (below - area) / n])
    who = np.concatenate(patients) if patients else np.arange(m + n)
    groups = np.unique(who, return_inverse=True)[1]
    k = int(groups.max()) + 1
    variance = float((np.bincount(groups, pull, k) ** 2).sum()) * k / max(1, k - 1)
    sizes = (m, n) if patients is None else (len(np.unique(patients[0])), len(np.unique(patients[1])))
    z = float(norm.ppf((1 + level) / 2))
    both = [_logit(area, variance, z), _newcombe(area, *sizes, z)]
    return area, [min(ends[0] for ends in both), max(ends[1] for ends in both)]


def _logit(area: float, variance: float, z: float) -> Interval:
    if area in (0.0, 1.0):
        return [area, area]
    reach = z * math.sqrt(variance) / (area * (1 - area))
    return [float(expit(logit(area) - reach)), float(expit(logit(area) + reach))]


def _newcombe(area: float, m: int, n: int, z: float) -> Interval:
    """The truths whose distance to what was found is at most ``z`` of their own standard errors.

    Which kind of image varies more is not known; the larger of the two standard errors counts.
    """

    def beyond(truth: float) -> float:
        one = truth / (2 - truth) - truth**2  # Hanley and McNeil, Radiology 1982
        two = 2 * truth**2 / (1 + truth) - truth**2
        spread = truth * (1 - truth) + max((m - 1) * two + (n - 1) * one, (m - 1) * one + (n - 1) * two)
        return (area - truth) ** 2 - z**2 * spread / (m * n)

    area = min(max(area, 1e-9), 1 - 1e-9)
    low, high = brentq(beyond, 0.0, area), brentq(beyond, area, 1.0)
    return [float(low), float(high)]
