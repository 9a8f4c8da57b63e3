"""Intervals of shares, of differences on the same images, and of means of these: pure functions.

* A share has the exact interval of Clopper and Pearson (Biometrika 1934), whatever the count.
* Where images name patients, it is that of the effective number of images (Korn and Graubard, Survey
  Methodology 1998): images of one patient resemble one another and say less than as many patients.
* A difference on the same images, and a mean of several figures, are put together of their parts' intervals
  (MOVER: Zou and Donner, Statistics in Medicine 2008; Newcombe, Statistics in Medicine 1998).
* A mean of small shares has the interval of Fay and Feuer (Statistics in Medicine 1997), which needs fewer
  images than one that is put together of as many wide ones.

tests/evidence/test_intervals.py enumerates what they cover. Shares are in ``[0, 1]``, differences in
``[-1, 1]``; an interval is ``[low, high]``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta, chi2, t

Array = NDArray[Any]
Interval = list[float]
LEVEL = 0.95


def proportion(count: float, n: float, level: float = LEVEL) -> Interval | None:
    """The exact interval of a share, as ``scipy.stats.binomtest(count, n).proportion_ci(level)``.

    Args:
        count, n: of images; need not be whole, see ``effective_size``.

    Returns:
        ``[low, high]``, or None without images.

    >>> [round(end, 3) for end in proportion(9, 10)], [round(end, 3) for end in proportion(0, 10)]
    ([0.555, 0.997], [0.0, 0.308])
    """
    if n <= 0:
        return None
    tail = (1 - level) / 2
    low = float(beta.ppf(tail, count, n - count + 1)) if count > 0 else 0.0
    high = float(beta.ppf(1 - tail, count + 1, n - count)) if count < n else 1.0
    return [low, high]


def share(hits: Array, patients: Array | None = None, level: float = LEVEL) -> Interval | None:
    """The interval of the share of hits.

    Args:
        hits: ``(n,)`` booleans, an image each.
        patients: ``(n,)`` whose image it is; each image counts for itself if None.

    >>> hits, patients = np.arange(80) < 60, np.arange(80) // 4  # of 15 of 20 patients all
    >>> [round(end, 2) for end in share(hits)], [round(end, 2) for end in share(hits, patients)]
    ([0.64, 0.84], [0.49, 0.92])
    """
    n = len(hits)
    if not n:
        return None
    size = effective_size(hits, patients)
    return proportion(float(np.sum(hits)) * size / n, size, level)


def effective_size(hits: Array, patients: Array | None) -> float:
    """How many independent images say as much about a share as these images of some patients.

    After Korn and Graubard (1998): the variance of a share over patients against that over images, corrected
    for the number of patients. It says little where few patients deviate or one has many of the images: so
    the likeness of a patient's images (intraclass correlation) is also estimated from what lies within
    patients (Fleiss and Cuzick, Applied Psychological Measurement 1979), the larger one counts, and it is
    drawn towards 1, all the more the fewer patients deviate, or bear most images. Where all images agree, a
    patient counts about once.

    Args:
        hits, patients: as for ``share``.

    Returns:
        A number between 0 and ``n``; ``n`` if each image has its own patient.

    >>> hits, patients = np.arange(60) % 3 > 0, np.arange(60) // 2  # two images a patient
    >>> effective_size(hits, np.arange(60)), round(effective_size(hits, patients), 1)
    (60.0, 54.8)
    >>> alike = np.arange(60) // 2 % 3 > 0  # both images of a patient are right, or both are wrong
    >>> round(effective_size(alike, patients), 1)
    28.7
    """
    n = len(hits)
    if patients is None or n == 0:
        return float(n)
    _, who, sizes = np.unique(patients, return_inverse=True, return_counts=True)
    k = len(sizes)
    if k == n:
        return float(n)
    if k == 1:
        return 1.0
    p, counts = float(np.mean(hits)), np.bincount(who, hits.astype(float), k)
    usual = float((sizes**2).sum() / n)  # how many images share a patient with an image, itself included
    alike = 1.0
    if 0 < p < 1:
        variance = k / (k - 1) * float(((counts - p * sizes) ** 2).sum()) / n**2
        between = (variance * n / (p * (1 - p)) - 1) / (usual - 1)
        within = 1 - float((counts * (sizes - counts) / sizes).sum()) / ((n - k) * p * (1 - p))
        found = min(max(between, within, 0.0), 1.0)
        deviating = min(int((counts > 0).sum()), int((counts < sizes).sum()), n / usual)
        alike = (deviating * found + 1) / (deviating + 1)
    few = (t.ppf(0.975, n - 1) / t.ppf(0.975, k - 1)) ** 2
    return float(min(n, few * n / (1 + (usual - 1) * alike)))


def paired(
    before: Array, after: Array, patients: Array | None = None, level: float = LEVEL
) -> Interval | None:
    """The interval of share before minus share after, of the same images.

    What became worse and what became better have exact intervals each; since an image cannot do both, their
    shares are negatively correlated, which makes the interval of the difference wider.

    Args:
        before, after: ``(n,)`` booleans: whether an image was right.
        patients: as for ``share``.

    >>> before, after = np.arange(40) < 36, np.arange(40) < 34  # two became worse
    >>> [round(end, 3) for end in paired(before, after)]
    [-0.05, 0.169]
    """
    n = len(before)
    if not n:
        return None
    worse, better = before & ~after, after & ~before
    ends = share(worse, patients, level), share(better, patients, level)
    return difference(float(worse.mean()), float(better.mean()), *ends, n)  # type: ignore[arg-type]


def difference(p: float, q: float, of_p: Interval, of_q: Interval, n: float) -> Interval:
    """The interval of ``p - q``, two shares of the same ``n`` images, none of which is in both.

    >>> [round(end, 3) for end in difference(0.10, 0.05, [0.05, 0.18], [0.02, 0.11], n=100)]
    [-0.031, 0.138]
    """
    a, b = ((x * n + 1) / (n + 2) for x in (p, q))
    together = min(1.0, math.sqrt(a * b / ((1 - a) * (1 - b))))

    def reach(x: float, y: float) -> float:
        return math.sqrt(x * x + y * y + 2 * together * x * y)

    low = p - q - reach(p - of_p[0], of_q[1] - q)
    high = p - q + reach(of_p[1] - p, q - of_q[0])
    return [max(-1.0, low), min(1.0, high)]


def mean_share(counts: Sequence[float], sizes: Sequence[float], level: float = LEVEL) -> Interval:
    """The interval of the mean of several small shares.

    Args:
        counts, sizes: of each, how many of how many independent images; at least one, no size is 0.

    >>> [round(end, 3) for end in mean_share([0, 1], [30, 40])]
    [0.0, 0.082]
    """
    weights = [1 / (len(sizes) * n) for n in sizes]
    tail, most = (1 - level) / 2, max(weights)
    y = sum(w * x for w, x in zip(weights, counts, strict=True))
    v = sum(w * w * x for w, x in zip(weights, counts, strict=True))
    low = v / (2 * y) * chi2.ppf(tail, 2 * y * y / v) if y > 0 else 0.0
    y, v = y + most, v + most**2
    high = v / (2 * y) * chi2.ppf(1 - tail, 2 * y * y / v)
    return [float(low), min(1.0, float(high))]


def mean(values: Sequence[float], intervals: Sequence[Interval]) -> Interval:
    """The interval of the mean of figures that were measured on different images.

    Args:
        values, intervals: at least one each.

    >>> [round(end, 3) for end in mean([0.9, 0.7], [[0.8, 0.95], [0.55, 0.8]])]
    [0.71, 0.856]
    """
    middle, n = float(np.mean(values)), len(values)
    down, up = (
        math.sqrt(sum((value - ends[end]) ** 2 for value, ends in zip(values, intervals, strict=True))) / n
        for end in (0, 1)
    )
    return [middle - down, middle + up]


def resampled(
    statistic: Callable[[Array], float],
    n: int,
    patients: Array | None = None,
    *,
    draws: int = 1000,
    level: float = LEVEL,
    seed: int = 0,
) -> Interval:
    """A bootstrap interval for what has no exact one: images, or all images of a patient, are drawn anew.

    Args:
        statistic: from how often each of the ``n`` images was drawn, ``(n,)``, to a figure.
        patients: as for ``share``.
        draws: how often.
        seed: the same one gives the same interval.

    >>> scores = np.arange(10.0)
    >>> ends = resampled(lambda times: float((times * scores).sum() / times.sum()), n=10, draws=200)
    >>> [round(end, 1) for end in ends]  # of a mean of 4.5
    [2.9, 6.1]
    """
    groups = np.arange(n) if patients is None else np.unique(patients, return_inverse=True)[1]
    k = int(groups.max()) + 1
    rng = np.random.default_rng(seed)
    found = [statistic(rng.multinomial(k, np.full(k, 1 / k))[groups]) for _ in range(draws)]
    tail = (1 - level) / 2
    low, high = np.nanquantile(found, [tail, 1 - tail])
    return [float(low), float(high)]
