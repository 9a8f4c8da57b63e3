"""Private sums of several sites, pooled into one mean and shrunk by what is publicly known of their noise.

All of it is post-processing of what has left, by the asker and with its own images: it costs no privacy.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from clinical_qkt.query import axes
from clinical_qkt.statistics.class_statistics import (
    FEWEST_PATIENTS,
    ClassStatistics,
    PrivateSum,
    pooled,
)

CAUTION = 2.0
"""By what the noise's variance is multiplied: it misleads more than an axis that is left out."""
PUSH = 1.25
"""By what the shrunk mean is pushed away from the middle of the own classes: one that is drawn too near to it
costs the own classes first."""


def told(parts: Sequence[ClassStatistics | PrivateSum], own: Sequence[ClassStatistics]) -> ClassStatistics:
    """Several sites' answers for one class as one, whatever kinds they are of.

    Exact responses are pooled by precision, see ``class_statistics.pooled``; private ones are added up and
    shrunk. Where there are both, each axis's means are weighted by their precision, without shrinkage.

    Args:
        own: the student's own classes, whose features private sums may tell in part.
    """
    means = torch.stack([c.mean for c in own])
    exact = [p for p in parts if isinstance(p, ClassStatistics)]
    private = [p for p in parts if isinstance(p, PrivateSum)]
    if not private:
        return pooled(exact)
    count, mean, doubt = added(private, means.shape[1])
    if not exact:
        variance = axes.prior(means)
        kept = variance / (variance + CAUTION * doubt)
        # What is not known of an axis: all of the prior where nothing was asked, nothing without noise.
        left = torch.where(doubt.isinf(), variance, variance * doubt / (variance + doubt))
        # The middle of the own classes is zero in the own map, and elsewhere in another site's.
        middle = means.mean(0)
        shrunk = middle + PUSH * kept * (mean - middle)
        return ClassStatistics(count, shrunk, noise=_noise(private), doubt=left)
    known = pooled(exact)
    mine, theirs = 1 / doubt, 1 / (1 / known.count + known.noise**2)
    both = (mine * mean + theirs * known.mean) / (mine + theirs)
    return ClassStatistics(known.count + count, both, known.covariance)


def added(parts: Sequence[PrivateSum], features: int) -> tuple[int, Tensor, Tensor]:
    """Patients in all, as far as told; the mean ``(features,)``, and the variance of what is wrong with it.

    A sum under more noise than the others', of a site with a smaller epsilon, counts for less. Axes that were
    not asked for have a mean of zero, which is the middle of the own classes, and an infinite variance.
    """
    weights, patients = _weights(parts)
    mean = torch.zeros(features, dtype=torch.float64)
    doubt = torch.full((features,), float("inf"), dtype=torch.float64)
    asked = len(parts[0].total)
    mean[:asked] = torch.stack([w * p.total for w, p in zip(weights, parts, strict=True)]).sum(0) / patients
    doubt[:asked] = _noise(parts) ** 2 + 1 / patients
    return max(1, round(sum(max(p.count, FEWEST_PATIENTS) for p in parts))), mean, doubt


def _weights(parts: Sequence[PrivateSum]) -> tuple[list[float], float]:
    """Of each site's sum, 1 for the least noised; and what the weighted sum is divided by.

    The bound is that of the sum, not of each site: counts above and below the truth make up for each other.
    """
    least = min(p.noise for p in parts)
    weights = [(least / p.noise) ** 2 for p in parts]
    counted = sum(w * p.count for w, p in zip(weights, parts, strict=True))
    return weights, max(counted, FEWEST_PATIENTS * sum(weights))


def _noise(parts: Sequence[PrivateSum]) -> float:
    """Standard deviation of what was added on purpose to each number of the pooled mean."""
    weights, patients = _weights(parts)
    variance = sum((w * p.noise) ** 2 for w, p in zip(weights, parts, strict=True))
    return float(variance) ** 0.5 / patients
