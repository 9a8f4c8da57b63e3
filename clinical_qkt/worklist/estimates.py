"""From the answers on a drawn list to figures of the whole archive, with intervals: pure functions.

The list is drawn in strata with known probabilities (see ``sampling``): an image that is drawn with the
probability 1/k stands for k images of the archive. What the images of a kind stand for, summed up, is an
unbiased estimate of how many there are (Horvitz and Thompson, JASA 1952). Every figure is a ratio of such
sums.

* Of the images that are called a class, some are drawn at random. How many of all are right has the exact
  limits of sampling without replacement: the hypergeometric test inverted, as Clopper and Pearson
  (Biometrika 1934) invert the binomial.
* All others are drawn one from each cell of k neighbours, with a k that differs between strata. The number
  that is missed has the limits of Fay and Feuer (Statistics in Medicine 1997) for a weighted sum of rare
  counts, with the variance k (k - 1) of an image that is seen with probability 1/k, and no more than that is
  known of how they lie. Where none was found, the upper limit is that of one more image in the largest
  cells.
* The ratios' intervals follow from these limits by the method of variance estimates recovery (MOVER: Zou and
  Donner, Statistics in Medicine 2008; of ratios Donner and Zou, Statistical Methods in Medical Research
  2012).

`make benchmark-worklist` measures what the intervals cover.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import gamma, hypergeom

Array = NDArray[Any]
LEVEL = 0.95
_NOTHING = 1e-9
"""A difference of counts that is rounding."""


@dataclass(frozen=True)
class Counted:
    """The answers of one stratum, for one class.

    Attributes:
        size: images of the archive.
        drawn: images that were looked at.
        found: of each drawn image of the class, for how many images it stands.
        unusable: the same of images that nobody can name.
        called: whether the model calls the stratum's images the class; they are then drawn at random, and
            otherwise one from each cell.
    """

    size: int
    drawn: int
    found: tuple[float, ...]
    unusable: tuple[float, ...]
    called: bool


@dataclass(frozen=True)
class Estimate:
    """A share of the archive; ``value`` is None where nothing was found that it is a share of."""

    value: float | None
    low: float
    high: float


@dataclass(frozen=True)
class Figures:
    """What the answers say of one class, over the usable images of the archive.

    Attributes:
        recall: of the class's images, how many are called so.
        false_alarms: of all others, how many are called so.
        prevalence: how many are of the class.
        precision: of those that are called so, how many are of the class.
        unusable: of all images of the archive, how many nobody can name.
    """

    recall: Estimate
    false_alarms: Estimate
    prevalence: Estimate
    precision: Estimate
    unusable: Estimate


@dataclass(frozen=True)
class Total:
    """A number of images, as estimated, and its limits."""

    value: float
    low: float
    high: float


@lru_cache(maxsize=100_000)
def exact_limits(found: int, drawn: int, size: int, level: float = LEVEL) -> tuple[int, int]:
    """How many images of a kind there may be among ``size``, of which ``drawn`` were looked at.

    Args:
        found: of the drawn ones, drawn at random without replacement.
        level: of the interval; either end errs at most with half of the rest.

    Returns:
        The lowest and the highest number.

    >>> exact_limits(3, 10, 10), exact_limits(0, 10, 20), exact_limits(5, 10, 20)
    ((3, 3), (0, 4), (6, 14))
    """
    tail = (1 - level) / 2
    numbers = range(found, size - (drawn - found) + 1)

    def not_too_few(there: int) -> bool:
        return bool(hypergeom.sf(found - 1, size, there, drawn) > tail)

    def too_many(there: int) -> bool:
        return bool(hypergeom.cdf(found, size, there, drawn) <= tail)

    low = bisect_left(numbers, True, key=not_too_few)
    high = bisect_left(numbers, True, key=too_many) - 1
    return numbers[low], numbers[high]


def rare_limits(weights: Sequence[float], largest: int, level: float = LEVEL) -> tuple[float, float]:
    """How many images of a rare kind there may be, where each is drawn with a probability of its own.

    Args:
        weights: of each found image, for how many it stands.
        largest: for how many an image of the least looked-at part stands.
        level: as for ``exact_limits``.

    Returns:
        The lowest and the highest number.

    >>> rare_limits([1, 1, 1], 1), rare_limits([], 1)
    ((3.0, 3.0), (0.0, 0.0))
    """
    tail, found = (1 - level) / 2, np.array(weights, dtype=float)
    total, variance = float(found.sum()), float((found * (found - 1)).sum())
    low = gamma.ppf(tail, total**2 / variance, scale=variance / total) if variance > 0 else total
    above, spread = total + largest, variance + largest * (largest - 1)
    high = gamma.ppf(1 - tail, above**2 / spread, scale=spread / above) if spread > 0 else total
    return max(float(low), float(len(found))), float(high)


def ratio(
    above: Array, below: Array, totals: Sequence[Total], extra: tuple[float, float] = (0, 0)
) -> Estimate:
    """A ratio of two sums over the same totals, by MOVER.

    Args:
        above, below: ``(n,)`` how often each total counts in the numerator and in the denominator.
        totals: n of them, which are independent or deviate in opposite directions.
        extra: known numbers that are added to numerator and denominator.

    Returns:
        Within 0 and 1.
    """
    value, low, high = np.array([(t.value, t.low, t.high) for t in totals], dtype=float).reshape(-1, 3).T

    def reach(share: float, sign: int) -> float:
        """The lower (-1) or upper (1) limit of numerator minus ``share`` times denominator."""
        counts = above - share * below
        far = np.where(sign * counts > 0, high - value, value - low)
        middle = extra[0] - share * extra[1] + counts @ value
        return float(middle + sign * np.sqrt(((counts * far) ** 2).sum()))

    denominator = float(extra[1] + below @ value)
    if denominator <= _NOTHING:
        return Estimate(None, 0.0, 1.0)
    middle = min(1.0, max(0.0, float(extra[0] + above @ value) / denominator))
    return Estimate(middle, _end(reach, middle, 0.0, -1), _end(reach, middle, 1.0, 1))


def _end(reach: Callable[[float, int], float], middle: float, edge: float, sign: int) -> float:
    """The share at which a limit is zero, between the estimate and the edge of what is possible."""
    if sign * reach(middle, sign) <= _NOTHING:
        return middle
    return float(brentq(reach, middle, edge, args=(sign,))) if sign * reach(edge, sign) < 0 else edge


def figures(strata: Sequence[Counted], level: float = LEVEL) -> Figures:
    """Every figure of one class from the answers of all strata."""
    mine, rest = [s for s in strata if s.called], [s for s in strata if not s.called]
    alarms, size = sum(s.size for s in mine), sum(s.size for s in strata)
    right, missed = (_in_called(mine, "found", level), _in_rest(rest, "found", level))
    totals = [right, missed, _in_called(mine, "unusable", level), _in_rest(rest, "unusable", level)]

    def of(above: Sequence[int], below: Sequence[int], extra: tuple[float, float] = (0, 0)) -> Estimate:
        return ratio(np.array(above), np.array(below), totals, extra)

    return Figures(
        recall=of((1, 0, 0, 0), (1, 1, 0, 0)),
        false_alarms=of((-1, 0, -1, 0), (-1, -1, -1, -1), (alarms, size)),
        prevalence=of((1, 1, 0, 0), (0, 0, -1, -1), (0, size)),
        precision=of((1, 0, 0, 0), (0, 0, -1, 0), (0, alarms)),
        unusable=of((0, 0, 1, 1), (0, 0, 0, 0), (0, size)),
    )


def _in_called(strata: Sequence[Counted], what: str, level: float) -> Total:
    """Of images that are called the class, of which there is one stratum, or none."""
    if not strata:
        return Total(0.0, 0.0, 0.0)
    (stratum,) = strata
    weights = getattr(stratum, what)
    return Total(sum(weights), *exact_limits(len(weights), stratum.drawn, stratum.size, level))


def _in_rest(strata: Sequence[Counted], what: str, level: float) -> Total:
    """Of all other images, from strata that are looked at more or less closely."""
    if not strata:
        return Total(0.0, 0.0, 0.0)
    weights = [w for s in strata for w in getattr(s, what)]
    low, high = rare_limits(weights, max(-(-s.size // s.drawn) for s in strata), level)
    unseen = sum(s.size - s.drawn for s in strata)
    return Total(sum(weights), low, min(high, len(weights) + unseen))
