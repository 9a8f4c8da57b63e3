"""The private release of a class's sum and count: discrete Gaussian noise on integers, a patient as the unit.

Everything that leaves is a function of integers: a patient's contribution is truncated to whole steps before
noise is added, the noise is whole, and its sampler exact (opendp's, after Canonne, Kamath and Steinke,
NeurIPS 2020). So no last bit of a floating-point number is there to tell what was added to what. Calibration
(Balle and Wang, ICML 2018, valid for every epsilon) and composition are dp-accounting's. Why the calibration
of the continuous Gaussian holds for the discrete one: docs/explanation/private-responses.md.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property

import numpy as np
import torch
from torch import Tensor

from clinical_qkt.statistics.class_statistics import PrivateSum

Draw = Callable[[int], Tensor]
"""``(n,)`` standard normal numbers in float64."""

Noise = Callable[[int, int], Sequence[int]]
"""From a standard deviation and ``n`` to ``n`` whole numbers of that spread."""

STEPS = 1024
"""Of the radius: in these a patient's contribution is told."""
COUNT_STEPS = 256
"""What a patient adds to the count, against the most that one adds to the sum: more makes the count sharper
and the mean duller."""
FINE = 2**20
"""Of the radius: in these an image's features are, before the mean over a patient's images is taken."""
SMOOTHING = 4
"""By so much the variance of whole noise, in squared steps, is above that of the continuous noise of which it
is a post-processing, up to a factor of 1 + 2e-30."""


@dataclass(frozen=True)
class Guarantee:
    """(epsilon, delta)-differential privacy of one answer, against adding or removing one patient.

    Attributes:
        share: what one of several releases spends that keep the guarantee together. Gaussian mechanisms add
            up in squares of one over their noise, each chosen after what the earlier ones told (Dong, Roth
            and Su, 2022, Corollary 3.3), so shares that add up to one keep it.
    """

    epsilon: float
    delta: float
    share: float = 1.0

    def part(self, share: float) -> Guarantee:
        """Of one of several releases."""
        return replace(self, share=self.share * share)

    @cached_property
    def noise_multiplier(self) -> float:
        """Standard deviation of continuous noise over the sensitivity."""
        return _noise_multiplier(self.epsilon, self.delta) / self.share**0.5

    @property
    def sigma(self) -> int:
        """Standard deviation of the discrete noise on every number of an answer, in steps."""
        continuous = self.noise_multiplier**2 * (STEPS**2 + COUNT_STEPS**2)
        return math.ceil(math.sqrt(continuous + SMOOTHING))


@cache
def _noise_multiplier(epsilon: float, delta: float) -> float:
    from dp_accounting.gaussian_mechanism import get_sigma_gaussian  # takes a second to import

    return float(get_sigma_gaussian(epsilon, delta))


@dataclass(frozen=True)
class Release:
    """What leaves: whole numbers.

    Attributes:
        total: of each feature the sum over patients, noised; in steps, of which the radius has ``STEPS``.
        count: patients, noised; in steps, of which a patient has ``COUNT_STEPS``. Both may be negative.
    """

    total: list[int]
    count: int

    def read(self, radius: float, guarantee: Guarantee) -> PrivateSum:
        """The same in units of the features and of patients, with what is publicly known of the noise."""
        total = torch.tensor(self.total, dtype=torch.float64) * (radius / STEPS)
        noise = guarantee.sigma * radius / STEPS
        return PrivateSum(total, self.count / COUNT_STEPS, noise, guarantee.sigma / COUNT_STEPS)


class PatientSums:
    """Every patient's contribution: the mean of the patient's clipped features, in whole steps.

    Features that are not finite count as zero, and all else is whole numbers from there: whatever the
    extractor gives, and in whatever order images come, one patient moves the sum by ``STEPS`` at most, in
    Euclidean length.
    """

    def __init__(self, features: int, radius: float) -> None:
        self.features, self.radius = features, radius
        self._sums: dict[str, tuple[Tensor, int]] = {}

    def update(self, features: Tensor, patients: Sequence[str]) -> None:
        """Add ``(N, D)`` with the patient of each row."""
        for row, patient in zip(whole(features, self.radius, FINE), patients, strict=True):
            total, images = self._sums.get(patient, (torch.zeros_like(row), 0))
            self._sums[patient] = (total + row, images + 1)

    def contributions(self) -> Tensor:
        """``(patients, D)`` int64, in steps; no row longer than ``STEPS``."""
        means = [
            total.div(images * (FINE // STEPS), rounding_mode="trunc")
            for total, images in self._sums.values()
        ]
        return torch.stack(means) if means else torch.zeros(0, self.features, dtype=torch.int64)


def whole(features: Tensor, radius: float, steps: int) -> Tensor:
    """Rows of ``(N, D)`` clipped to ``radius`` and truncated towards zero to a step, int64.

    Args:
        steps: of the radius. No row is longer than that, which is looked at in whole numbers.

    >>> whole(torch.tensor([[0.6, 0.8], [3.0, 4.0]]), radius=2.0, steps=1000).tolist()
    [[300, 400], [600, 800]]
    """
    rows = clipped(features, radius).div(radius).mul(steps).trunc().long()
    # Truncation makes shorter; where rounding before it made a row longer by a last bit, it is left out.
    return torch.where(rows.square().sum(1, keepdim=True) <= steps**2, rows, torch.zeros_like(rows))


def clipped(features: Tensor, radius: float) -> Tensor:
    """Rows of ``(N, D)`` no longer than ``radius``, in float64; not finite ones become zero.

    >>> clipped(torch.tensor([[3.0, 4.0], [0.5, 0.25], [torch.nan, 1.0]]), 1.0).round(decimals=6).tolist()
    [[0.6, 0.8], [0.5, 0.25], [0.0, 0.0]]
    """
    rows = features.double()
    rows = torch.where(torch.isfinite(rows).all(1, keepdim=True), rows, torch.zeros_like(rows))
    # By the largest number first: the square of a huge one would not be finite.
    most = rows.abs().amax(1, keepdim=True).clamp_min(1.0)
    length = (rows / most).norm(dim=1, keepdim=True) * most
    return rows * (radius / length.clamp_min(radius))


def private_release(contributions: Tensor, guarantee: Guarantee, noise: Noise | None = None) -> Release:
    """The noised sum and count over patients.

    Sum and count are released together by one discrete Gaussian mechanism: a patient adds a vector no longer
    than ``STEPS`` and ``COUNT_STEPS`` to one more number. There is an answer however few patients there are,
    none among them: a refusal would protect nobody, since the noise protects each.

    Args:
        contributions: ``(patients, D)`` whole numbers, no row longer than ``STEPS``.
        noise: its source; the operating system's randomness by default.

    Raises:
        ValueError: a contribution is no whole number, or too long.

    >>> contributions = torch.tensor([[600, -800], [0, 1024]])  # two patients, in steps
    >>> made = private_release(contributions, Guarantee(1.0, 1e-5), lambda sigma, numbers: [0] * numbers)
    >>> made.total, made.count / COUNT_STEPS  # without noise, to see what is added up
    ([600, 224], 2.0)
    """
    if contributions.is_floating_point() or bool((contributions.square().sum(1) > STEPS**2).any()):
        raise ValueError("contributions are whole steps, and none is longer than the radius")
    exact = [*contributions.sum(0).tolist(), COUNT_STEPS * len(contributions)]
    added = (noise or discrete_noise)(guarantee.sigma, len(exact))
    *total, count = (int(e) + int(a) for e, a in zip(exact, added, strict=True))
    return Release(total, count)


def discrete_noise(sigma: int, numbers: int) -> list[int]:
    """Whole numbers of the discrete Gaussian, exactly: opendp's sampler, on the system's randomness.

    Args:
        sigma: the distribution's parameter, nearly its standard deviation.

    >>> [type(n).__name__ for n in discrete_noise(sigma=1000, numbers=2)]
    ['int', 'int']
    """
    import opendp.prelude as dp  # takes a second or two to import

    dp.enable_features("contrib")
    space = dp.vector_domain(dp.atom_domain(T=int)), dp.l2_distance(T=float)
    return list(dp.m.make_gaussian(*space, scale=float(sigma))([0] * numbers))


def rounded_noise(draw: Draw) -> Noise:
    """Whole noise of seeded normal numbers, for simulations that can be repeated; never for a release.

    >>> rounded_noise(lambda numbers: torch.full((numbers,), 0.26).double())(10, 3)
    [3, 3, 3]
    """
    return lambda sigma, numbers: (sigma * draw(numbers)).round().long().tolist()


def system_noise(numbers: int) -> Tensor:
    """Standard normal numbers from the operating system's randomness: no seed, nothing to guess.

    Each is the sum of four, over two: then the gaps between floating-point numbers tell nothing of what was
    added to what (Holohan and Braghin, arXiv 2107.10138).

    >>> system_noise(5).shape, bool(system_noise(10_000).std().sub(1).abs() < 0.1)
    (torch.Size([5]), True)
    """
    pairs = 2 * numbers
    bits = np.frombuffer(os.urandom(16 * pairs), dtype=np.uint64).reshape(2, pairs) >> 11
    uniform = (bits + 1) * 2.0**-53  # in (0, 1]
    length, angle = np.sqrt(-2 * np.log(uniform[0])), 2 * np.pi * uniform[1]
    normal = np.stack([length * np.cos(angle), length * np.sin(angle)])  # Box and Muller
    return torch.from_numpy(normal.reshape(4, numbers).sum(0) / 2)
