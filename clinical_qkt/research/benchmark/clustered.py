"""Intervals of means over queries that are alike within a seed: a bootstrap of seeds, then of queries.

Queries of one seed share hospitals, partitions and trained models. Drawing queries alone would take them for
independent and promise too much (Davison and Hinkley, Bootstrap Methods and their Application, 1997, 3.8).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

FEWEST_SEEDS = 3
"""With fewer seeds there is nothing to draw from, and queries alone are drawn."""


def interval(
    values: Sequence[float], seeds: Sequence[int] | None = None, resamples: int = 2000
) -> dict[str, float]:
    """Mean over the queries and its 95 % bootstrap interval.

    Args:
        values: one a query.
        seeds: of each; None, or fewer than ``FEWEST_SEEDS`` different ones: queries alone are drawn.

    >>> found = interval([1.0, 1.0, 2.0, 2.0, 3.0, 3.0], seeds=[3, 3, 4, 4, 5, 5])
    >>> found["mean"], round(found["low"], 1), round(found["high"], 1)
    (2.0, 1.0, 3.0)
    """
    rng = np.random.default_rng(0)
    every = np.asarray(values, dtype=float)
    if seeds is None or len(set(seeds)) < FEWEST_SEEDS:
        means = rng.choice(every, (resamples, len(every))).mean(1)
    else:
        of = np.asarray(seeds)
        means = _means([every[of == seed] for seed in sorted(set(seeds))], resamples, rng)
    low, high = np.quantile(means, [0.025, 0.975])
    return {"mean": float(every.mean()), "low": float(low), "high": float(high)}


def _means(
    groups: list[NDArray[np.float64]], resamples: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Of so many draws: as many seeds as there are, and of each as many queries as it has."""
    drawn = rng.integers(len(groups), size=(resamples, len(groups)))
    sums = np.zeros(drawn.shape)
    for k, group in enumerate(groups):
        where = drawn == k
        sums[where] = rng.choice(group, (int(where.sum()), len(group))).sum(1)
    sizes = np.array([len(group) for group in groups])[drawn]
    means: NDArray[np.float64] = sums.sum(1) / sizes.sum(1)
    return means
