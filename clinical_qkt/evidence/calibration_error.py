"""The interval of the expected calibration error: how far the stated probabilities may be off.

A bootstrap alone errs at both ends. The error is a sum of absolute differences, so chance makes it larger in
every draw, and a perfectly calibrated model's lower end would lie far above 0. Where all of a few images are
right, or all are of one patient, no draw differs, and its upper end would be what was measured.
"""

from __future__ import annotations

import math

import numpy as np

from clinical_qkt.evidence import intervals
from clinical_qkt.evidence.intervals import LEVEL, Array, Interval


def within(stated: Array, right: Array, bins: Array, patients: Array | None = None) -> Interval:
    """The 95 % interval of the expected calibration error.

    Lower end: the error is at least the difference over all images together, and at least the sum over bins
    of what each surely is (Bonferroni). Upper end: the bins' exact upper ends put together (MOVER, see
    ``intervals``), or a bootstrap's if it is higher, since images of a patient may lie in several bins.

    Args:
        stated: ``(N,)`` the probability of the named class; at least one.
        right: ``(N,)`` booleans, whether it is the true one.
        bins: ``(N,)`` the bin of each image.
        patients: ``(N,)`` whose image it is; each image counts for itself if None.

    >>> stated, right = np.full(100, 0.9), np.arange(100) < 60  # says 90 %, is right in 60
    >>> low, high = within(stated, right, np.zeros(100, int))
    >>> round(low, 2), round(high, 2)
    (0.18, 0.4)
    """
    half = 1 - (1 - LEVEL) / 4  # of two ways to a lower end, each errs to two sides
    there = [bins == b for b in np.unique(bins)]
    weights = [float(mine.mean()) for mine in there]
    gaps = [abs(float(stated[mine].mean() - right[mine].mean())) for mine in there]
    sure = [_off(stated, right, mine, patients, 1 - (1 - half) / len(there))[0] for mine in there]
    whole = _off(stated, right, np.ones(len(stated), bool), patients, half)[0]
    most = [_off(stated, right, mine, patients, LEVEL)[1] for mine in there]
    error = sum(w * g for w, g in zip(weights, gaps, strict=True))
    reach = math.sqrt(sum((w * (u - g)) ** 2 for w, u, g in zip(weights, most, gaps, strict=True)))
    low = max(whole, sum(w * s for w, s in zip(weights, sure, strict=True)))
    return [min(low, error), min(1.0, max(error + reach, _drawn(stated - right, bins, patients)))]


def _off(stated: Array, right: Array, mine: Array, patients: Array | None, level: float) -> Interval:
    """The interval of the absolute difference of mean stated probability and share of right answers."""
    ends = intervals.share(right[mine], None if patients is None else patients[mine], level)
    assert ends is not None
    low, high = (float(stated[mine].mean()) - end for end in ends[::-1])
    return [max(0.0, low, -high), max(abs(low), abs(high))]


def _drawn(gap: Array, bins: Array, patients: Array | None) -> float:
    """The upper end of a bootstrap."""

    def error(times: Array) -> float:  # of each bin the difference of the sums; their sizes cancel
        return float(np.abs(np.bincount(bins, gap * times)).sum() / times.sum())

    return intervals.resampled(error, len(gap), patients)[1]
