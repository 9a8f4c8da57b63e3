"""The Fisher subspace of class Gaussians, and the two heads that ``gaussian_head`` trains within it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clinical_qkt.statistics.class_statistics import ClassStatistics
from clinical_qkt.statistics.gaussian_heads import Gaussians, drawn, shared_covariance


def shrunk(covariance: Tensor, shrinkage: float) -> Tensor:
    """Towards its mean variance times the identity."""
    even = covariance.diagonal().mean() * torch.eye(len(covariance), dtype=covariance.dtype)
    return (1 - shrinkage) * covariance + shrinkage * even


def subspace(means: Tensor, share: Tensor, within: Tensor, energy: float) -> Tensor:
    """``(D, k)``, directions in which classes differ most against what they vary; k is below their number.

    Args:
        means, share: ``(C, D)`` of the classes, and ``(C,)`` their shares of all images.
        within: the covariance that they share; ``basis.T @ within @ basis`` is the identity.
        energy: how much of what sets the classes apart is kept; two directions at least.
    """
    values, vectors = torch.linalg.eigh(within)
    root = vectors / values.sqrt() @ vectors.T
    gap = (means - share @ means) * share[:, None].sqrt()
    _, apart, axes = torch.linalg.svd(gap @ root, full_matrices=False)
    enough = int((apart.square().cumsum(0) < energy * apart.square().sum()).sum()) + 1
    return root @ axes[: min(max(2, enough), len(means) - 1)].T


def draws(classes: Sequence[ClassStatistics], count: int, spread: float, seed: int) -> tuple[Tensor, Tensor]:
    """``(C count, k)`` features, as many of each class, ``spread`` times as far out; and their labels."""
    generator = torch.Generator().manual_seed(seed)
    shared = shared_covariance(classes, ridge=0)
    far = [drawn(c, shared, count, generator) for c in classes]
    near = [c.mean + spread * (z - c.mean) for c, z in zip(classes, far, strict=True)]
    return torch.cat(near), torch.arange(len(classes)).repeat_interleave(count)


class FisherMix(nn.Module):
    """Cosines between features ``(N, k)`` and a direction a class, scaled to logits ``(N, C)``."""

    def __init__(self, width: int, classes: int, scale: float, margin: float) -> None:
        super().__init__()
        # Short, so that the first steps turn them far: only directions count.
        self.weight = nn.Parameter(0.01 * torch.randn(classes, width, dtype=torch.float64))
        self.scale, self.margin = scale, margin

    def forward(self, z: Tensor) -> Tensor:
        return self.scale * F.normalize(z, dim=1) @ F.normalize(self.weight, dim=1).T

    def loss(self, z: Tensor, y: Tensor) -> Tensor:
        """Cross-entropy with the right class's cosine taken to be smaller by the margin."""
        logits = self(z)
        return F.cross_entropy(logits - self.scale * self.margin * F.one_hot(y, logits.shape[1]), y)


class ProtoHyper(nn.Module):
    """Linear Gaussian logits, standardised, plus a residual of low rank: ``(N, k)`` to ``(N, C)``.

    Args:
        base, curved: linear and quadratic; the teacher is a blend with the weight ``blend`` of the latter.
        rank: of the residual, k at most.
        weight, temperature: of the divergence from the teacher.
    """

    def __init__(
        self, base: Gaussians, curved: Gaussians, blend: float, rank: int, weight: float, temperature: float
    ) -> None:
        super().__init__()
        classes, width = base.mean.shape
        rank = min(rank, width)
        self.residual = nn.Sequential(nn.Linear(width, rank, bias=False), nn.Linear(rank, classes)).double()
        self.base, self.curved, self.blend = base, curved, blend
        self.weight, self.temperature = weight, temperature

    def forward(self, z: Tensor) -> Tensor:
        return standardised(self.base.log_density(z)) + self.residual(z)

    def loss(self, z: Tensor, y: Tensor) -> Tensor:
        """The divergence from the teacher, and with the rest of the weight cross-entropy."""
        logits, t = self(z), self.temperature
        soft = (self.teacher(z) / t).log_softmax(1)
        away = F.kl_div((logits / t).log_softmax(1), soft, reduction="batchmean", log_target=True) * t**2
        return self.weight * away + (1 - self.weight) * F.cross_entropy(logits, y)

    def teacher(self, z: Tensor) -> Tensor:
        """``(N, C)`` logits, standardised."""
        curved, straight = self.curved.log_density(z), self.base.log_density(z)
        return standardised(self.blend * curved + (1 - self.blend) * straight)


def standardised(logits: Tensor) -> Tensor:
    """Each row to mean 0 and spread 1 over the classes."""
    gap = logits - logits.mean(1, keepdim=True)
    return gap / gap.std(1, keepdim=True).clamp_min(1e-6)
