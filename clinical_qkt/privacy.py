"""The private release of a class's mean: the Gaussian mechanism, a patient as the unit.

Calibration (Balle and Wang, ICML 2018, valid for every epsilon) and composition are dp-accounting's. What is
promised, and what not, is in docs/explanation/private-answers.md.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from clinical_qkt.statistics import ClassStatistics

Draw = Callable[[int], Tensor]
"""``(n,)`` standard normal numbers in float64."""

COUNT_WEIGHT = 0.5
"""What a patient adds to the count, against the most that one adds to the sum: more makes the count sharper
and the mean duller."""


@dataclass(frozen=True)
class Guarantee:
    """(epsilon, delta)-differential privacy of one answer, against adding or removing one patient."""

    epsilon: float
    delta: float

    @cached_property
    def noise_multiplier(self) -> float:
        """Standard deviation of the noise over the sensitivity."""
        from dp_accounting.gaussian_mechanism import get_sigma_gaussian  # takes a second to import

        return float(get_sigma_gaussian(self.epsilon, self.delta))


class PatientSums:
    """Every patient's contribution: the mean of the patient's clipped features, no longer than ``radius``.

    Features that are not finite count as zero. So whatever the extractor gives, one patient moves the sum by
    ``radius`` at most.
    """

    def __init__(self, features: int, radius: float) -> None:
        self.features, self.radius = features, radius
        self._sums: dict[str, tuple[Tensor, int]] = {}

    def update(self, features: Tensor, patients: Sequence[str]) -> None:
        """Add ``(N, D)`` with the patient of each row."""
        for row, patient in zip(clipped(features, self.radius), patients, strict=True):
            total, images = self._sums.get(patient, (torch.zeros_like(row), 0))
            self._sums[patient] = (total + row, images + 1)

    def contributions(self) -> Tensor:
        """``(patients, D)`` float64."""
        means = [total / images for total, images in self._sums.values()]
        return torch.stack(means) if means else torch.zeros(0, self.features, dtype=torch.float64)


def clipped(features: Tensor, radius: float) -> Tensor:
    """Rows of ``(N, D)`` no longer than ``radius``, in float64; not finite ones become zero."""
    rows = features.double()
    rows = torch.where(torch.isfinite(rows).all(1, keepdim=True), rows, torch.zeros_like(rows))
    # By the largest number first: the square of a huge one would not be finite.
    most = rows.abs().amax(1, keepdim=True).clamp_min(1.0)
    length = (rows / most).norm(dim=1, keepdim=True) * most
    return rows * (radius / length.clamp_min(radius))


def private_mean(
    contributions: Tensor,
    radius: float,
    guarantee: Guarantee,
    minimum: int,
    draw: Draw | None = None,
) -> ClassStatistics | None:
    """The noised count and mean over patients, or None if the noised count is below the minimum.

    Sum and count are released together by one Gaussian mechanism: a patient adds a vector no longer than
    ``radius`` and ``COUNT_WEIGHT * radius`` to one more number. Everything after that, the division and the
    refusal, looks at the noised numbers alone and costs no privacy.

    Args:
        contributions: ``(patients, D)``, no row longer than ``radius``.
        minimum: fewer patients than that, as far as the noised count tells, give no answer.
        draw: the source of noise; the operating system's by default.
    """
    unit = COUNT_WEIGHT * radius
    scale = guarantee.noise_multiplier * math.hypot(radius, unit)
    noise = (draw or system_noise)(contributions.shape[1] + 1)
    total = contributions.sum(0) + scale * noise[:-1]
    count = len(contributions) + scale / unit * float(noise[-1])
    if count < minimum:
        return None
    return ClassStatistics(round(count), total / count, noise=scale / count)


def system_noise(numbers: int) -> Tensor:
    """Standard normal numbers from the operating system's randomness: no seed, nothing to guess.

    Each is the sum of four, over two: then the gaps between floating-point numbers tell nothing of what was
    added to what (Holohan and Braghin, arXiv 2107.10138).
    """
    pairs = 2 * numbers
    bits = np.frombuffer(os.urandom(16 * pairs), dtype=np.uint64).reshape(2, pairs) >> 11
    uniform = (bits + 1) * 2.0**-53  # in (0, 1]
    length, angle = np.sqrt(-2 * np.log(uniform[0])), 2 * np.pi * uniform[1]
    normal = np.stack([length * np.cos(angle), length * np.sin(angle)])  # Box and Muller
    return torch.from_numpy(normal.reshape(4, numbers).sum(0) / 2)
