"""Affine maps that carry one Gaussian of features onto another, and the Gaussian in the middle of several.

Between Gaussians the optimal transport for the squared distance is affine and closed (Dowson and Landau,
1982; Peyré and Cuturi, 2019, remark 2.31). The barycentre for the same distance, that of Bures and
Wasserstein, is the fixed point of an iteration (Álvarez-Esteban et al., 2016). All matrices are symmetric and
are taken apart by their eigenvalues, in float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from sklearn.covariance import LedoitWolf
from torch import Tensor

from clinical_qkt.statistics.class_statistics import ClassStatistics

SMALLEST = 1e-8
"""Variance along an axis, in units of the mean variance, that a covariance is taken to have at least."""
STEPS, CLOSE = 100, 1e-7
"""Of the barycentre's iteration at most; and the change, relative to the covariance, at which it ends."""


@dataclass(frozen=True)
class Affine:
    """``x @ matrix + offset`` for features ``(N, D)``."""

    matrix: Tensor
    offset: Tensor

    def __call__(self, features: Tensor) -> Tensor:
        return features.double() @ self.matrix + self.offset

    def of(self, part: ClassStatistics) -> ClassStatistics:
        """Statistics of mapped features, from those of the features; a full covariance or none."""
        covariance = part.covariance
        if covariance is not None:
            covariance = self.matrix.T @ covariance @ self.matrix
        return replace(part, mean=self(part.mean), covariance=covariance)

    def then(self, other: Affine) -> Affine:
        return Affine(self.matrix @ other.matrix, other(self.offset))

    @property
    def inverse(self) -> Affine:
        back = torch.linalg.inv(self.matrix)
        return Affine(back, -self.offset @ back)

    def partly(self, share: float) -> Affine:
        """On the straight way from where a point is (0) to where it is carried (1)."""
        stay = torch.eye(len(self.offset), dtype=self.matrix.dtype)
        return Affine((1 - share) * stay + share * self.matrix, share * self.offset)


def optimal(source: ClassStatistics, target: ClassStatistics) -> Affine:
    """The optimal transport from one Gaussian to another; of all affine maps that move least.

    >>> one = ClassStatistics(9, torch.zeros(2).double(), torch.eye(2).double())
    >>> two = ClassStatistics(9, torch.ones(2).double(), torch.diag(torch.tensor([4.0, 9.0]).double()))
    >>> optimal(one, two)(torch.tensor([[1.0, 1.0]])).tolist()
    [[3.0, 4.0]]
    """
    root, back = _power(_full(source), 0.5), _power(_full(source), -0.5)
    matrix = back @ _power(root @ _full(target) @ root, 0.5) @ back
    return _between(source, target, matrix)


def recoloured(source: ClassStatistics, target: ClassStatistics, ridge: float) -> Affine:
    """CORAL: whitened by the one, coloured by the other, ``ridge`` added to all variances of both."""
    more = ridge * torch.eye(len(source.mean), dtype=torch.float64)
    return _between(source, target, _power(_full(source) + more, -0.5) @ _power(_full(target) + more, 0.5))


def barycentre(parts: Sequence[ClassStatistics]) -> ClassStatistics:
    """The Gaussian in the middle of several, weighted by counts.

    >>> one, zero = torch.eye(1).double(), torch.zeros(1).double()
    >>> narrow, wide = (ClassStatistics(5, zero, v * one) for v in (1, 9))
    >>> round(float(barycentre([narrow, wide]).covariance), 6)  # spreads are averaged, not variances
    4.0
    """
    counts = torch.tensor([p.count for p in parts], dtype=torch.float64)
    weights = counts / counts.sum()
    covariances = [_full(p) for p in parts]
    middle = torch.stack([w * c for w, c in zip(weights, covariances, strict=True)]).sum(0)
    for _ in range(STEPS):
        root, back = _power(middle, 0.5), _power(middle, -0.5)
        ways = [w * _power(root @ c @ root, 0.5) for w, c in zip(weights, covariances, strict=True)]
        new = back @ torch.stack(ways).sum(0).matrix_power(2) @ back
        done = float((new - middle).norm()) < CLOSE * float(middle.norm())
        middle = (new + new.T) / 2
        if done:
            break
    return ClassStatistics(int(counts.sum()), weights @ torch.stack([p.mean for p in parts]), middle)


def together(parts: Sequence[ClassStatistics]) -> ClassStatistics:
    """Several classes as one Gaussian, every class counting equally: the class mix of a site has no say."""
    means = torch.stack([p.mean for p in parts])
    gap = means - means.mean(0)
    within = torch.stack([_full(p) for p in parts]).mean(0)
    return ClassStatistics(sum(p.count for p in parts), means.mean(0), within + gap.T @ gap / len(parts))


def shrunk_statistics(features: Tensor) -> ClassStatistics:
    """Of ``(N, D)`` features, with the covariance shrunk as Ledoit and Wolf (2004) do."""
    found = LedoitWolf().fit(features.double().numpy())
    mean, covariance = torch.from_numpy(found.location_), torch.from_numpy(found.covariance_)
    return ClassStatistics(len(features), mean, covariance)


def _between(source: ClassStatistics, target: ClassStatistics, matrix: Tensor) -> Affine:
    return Affine(matrix, target.mean - source.mean @ matrix)


def _full(part: ClassStatistics) -> Tensor:
    assert part.covariance is not None and part.covariance.ndim == 2
    return part.covariance


def _power(matrix: Tensor, exponent: float) -> Tensor:
    """Of a symmetric matrix without negative eigenvalues."""
    values, vectors = torch.linalg.eigh((matrix + matrix.T) / 2)
    values = values.clamp_min(SMALLEST * float(values.mean()))
    return vectors * values**exponent @ vectors.T
