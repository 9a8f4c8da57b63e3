"""Gaussian heads: from class statistics to a classifier, in closed form.

Linear: all classes share a covariance. Quadratic: each has its own, shrunk towards the shared one. What is
the literature's and what is ours is in docs/explanation/method.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clinical_qkt.core.errors import InputError
from clinical_qkt.statistics.class_statistics import ClassStatistics

Head = Literal["auto", "linear", "quadratic", "replay"]

RIDGE = 0.01
"""Added to the shared covariance, in units of its mean variance."""

SHRINKAGES = (0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
TEMPERATURES = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 32.0)


@dataclass(frozen=True)
class Gaussians:
    """One Gaussian a class.

    Attributes:
        mean: ``(K, D)``.
        whitening: ``(K, D, D)``, or ``(1, D, D)`` if all share one: ``(x - mean) @ whitening`` varies by one.
        log_volume: ``(K,)``, the logarithm of the density at the mean, up to a constant.
    """

    mean: Tensor
    whitening: Tensor
    log_volume: Tensor

    def log_density(self, features: Tensor) -> Tensor:
        """``(N, D)`` to ``(N, K)``, up to a constant."""
        gap = features[:, None] - self.mean
        z = torch.einsum("nkd,kde->nke", gap, self.whitening.expand(self.mean.shape[0], -1, -1))
        return self.log_volume - z.square().sum(2) / 2


def shared_covariance(classes: Sequence[ClassStatistics], ridge: float = RIDGE) -> Tensor:
    """``(D, D)``: the classes' own covariances, weighted by counts; those with a full one.

    Raises:
        InputError: no class has one.

    >>> one = ClassStatistics(10, torch.zeros(2).double(), torch.eye(2).double())
    >>> two = ClassStatistics(30, torch.zeros(2).double(), 3 * torch.eye(2).double())
    >>> shared_covariance([one, two], ridge=0.0).tolist()
    [[2.5, 0.0], [0.0, 2.5]]
    """
    full = [(c.count, c.covariance) for c in classes if c.covariance is not None and c.covariance.ndim == 2]
    if not full:
        raise InputError("no class has a covariance", where="statistics", fix="give the own classes' in full")
    total = sum(n for n, _ in full)
    shared = torch.stack([c * (n / total) for n, c in full]).sum(0)
    return shared + ridge * shared.diagonal().mean() * torch.eye(len(shared), dtype=shared.dtype)


def linear(classes: Sequence[ClassStatistics]) -> Gaussians:
    """Linear discriminant analysis: the means, and one covariance for all.

    What is not known of a class's mean counts as spread along that axis: where little is known, little is
    decided.

    >>> one = torch.eye(1).double()
    >>> left, right = (ClassStatistics(9, torch.tensor([x]).double(), one) for x in (-1.0, 1.0))
    >>> linear([left, right]).log_density(torch.tensor([[-0.1], [0.1]]).double()).argmax(1).tolist()
    [0, 1]
    """
    shared = shared_covariance(classes)
    doubts = [c.doubt for c in classes if c.doubt is not None]
    if doubts:
        shared = shared + torch.stack(doubts).mean(0).diag()
    return _gaussians(classes, [shared])


def quadratic(classes: Sequence[ClassStatistics], shrinkage: float) -> Gaussians:
    """Quadratic discriminant analysis, regularised (Friedman, 1989).

    Args:
        shrinkage: 0: each class's own covariance; 1: the shared one. A class with a diagonal alone takes the
            shared correlations; one with a mean alone the shared covariance.

    >>> one = torch.eye(1).double()
    >>> narrow, wide = (ClassStatistics(9, torch.zeros(1).double(), s * one) for s in (1.0, 9.0))
    >>> found = quadratic([narrow, wide], shrinkage=0.0)  # their means are the same
    >>> found.log_density(torch.tensor([[0.5], [3.0]]).double()).argmax(1).tolist()
    [0, 1]
    """
    shared = shared_covariance(classes)
    covariances = []
    for c in classes:
        own = shared
        if c.covariance is not None and c.covariance.ndim == 2:
            own = c.covariance
        elif c.covariance is not None:
            scale = (c.covariance / shared.diagonal()).clamp_min(0).sqrt()
            own = scale[:, None] * shared * scale
        covariances.append((1 - shrinkage) * own + shrinkage * shared)
    return _gaussians(classes, covariances)


def chosen_shrinkage(classes: Sequence[ClassStatistics], features: Tensor, labels: Tensor) -> float:
    """The shrinkage whose densities classify own validation images best, by cross-entropy.

    Args:
        classes: the own classes first.
        features: ``(N, D)`` of validation images.
        labels: ``(N,)`` positions of own classes.

    >>> one = torch.eye(1).double()
    >>> narrow, wide = (ClassStatistics(9, torch.zeros(1).double(), s * one) for s in (1.0, 25.0))
    >>> features, labels = torch.tensor([[0.2], [-0.9], [4.0], [-7.0]]), torch.tensor([0, 0, 1, 1])
    >>> chosen_shrinkage([narrow, wide], features, labels)  # the classes differ in spread alone
    0.3
    """
    own = int(labels.max()) + 1

    def error(shrinkage: float) -> float:
        density = quadratic(classes, shrinkage).log_density(features.double())[:, :own]
        return min(float(F.cross_entropy(density / t, labels)) for t in TEMPERATURES)

    return min(SHRINKAGES, key=error)


def chosen_temperature(gaussians: Gaussians, features: Tensor, labels: Tensor) -> float:
    """By what the log densities are divided, so that they are as sure as they are right.

    A Gaussian in many dimensions is far too sure of itself. Chosen on own validation images, see
    ``chosen_shrinkage`` for the arguments.

    >>> one = torch.eye(1).double()
    >>> left, right = (ClassStatistics(9, torch.tensor([x]).double(), one) for x in (-3.0, 3.0))
    >>> features, labels = torch.tensor([[-3.0], [-1.0], [1.0], [3.0]]), torch.tensor([0, 1, 0, 1])
    >>> chosen_temperature(linear([left, right]), features, labels)  # two of four are wrong
    12.0
    """
    own = int(labels.max()) + 1
    density = gaussians.log_density(features.double())[:, :own]
    return min(TEMPERATURES, key=lambda t: float(F.cross_entropy(density / t, labels)))


def drawn(part: ClassStatistics, shared: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """``(count, D)`` features drawn from a class's Gaussian: feature replay (CCVR, NeurIPS 2021).

    >>> part = ClassStatistics(9, torch.tensor([5.0, 0.0]).double(), torch.eye(2).double())
    >>> features = drawn(part, torch.eye(2).double(), 1000, torch.Generator().manual_seed(0))
    >>> features.shape, bool((features.mean(0) - part.mean).abs().max() < 0.1)
    (torch.Size([1000, 2]), True)
    """
    covariance = shared
    if part.covariance is not None:
        full = part.covariance.ndim == 2
        covariance = part.covariance if full else torch.diag(part.covariance)
        covariance = 0.95 * covariance + 0.05 * shared
    factor = torch.linalg.cholesky(covariance)
    noise = torch.randn(count, len(part.mean), dtype=torch.float64, generator=generator)
    return part.mean + noise @ factor.T


def replayed(
    features: Tensor,
    labels: Tensor,
    queried: Sequence[ClassStatistics],
    shared: Tensor,
    seed: int,
    epochs: int = 30,
    learning_rate: float = 3e-3,
) -> nn.Linear:
    """An ordinary linear head, trained on own features and on features drawn for the queried classes.

    Args:
        features, labels: ``(N, D)`` and ``(N,)`` of own training images.
        queried: their rows follow the own classes'.
        shared: a covariance ``(D, D)`` for those without one, and to shrink the others towards.

    >>> features, labels = torch.tensor([[-3.0], [-2.5], [-3.5], [-2.0]]), torch.tensor([0, 0, 0, 0])
    >>> queried = ClassStatistics(9, torch.tensor([3.0]).double(), torch.eye(1).double())
    >>> head = replayed(features, labels, [queried], torch.eye(1).double(), 0, 100, 0.05)
    >>> head(torch.tensor([[-3.0], [3.0]])).argmax(1).tolist()
    [0, 1]
    """
    generator = torch.Generator().manual_seed(seed)
    own = int(labels.max()) + 1
    each = max(1, len(labels) // own)
    x = torch.cat([features.double(), *(drawn(q, shared, each, generator) for q in queried)]).float()
    y = torch.cat([labels, *(torch.full((each,), own + k) for k in range(len(queried)))])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = nn.Linear(x.shape[1], own + len(queried))

    def loss(rows: Tensor) -> Tensor:
        return F.cross_entropy(head(x[rows]), y[rows], label_smoothing=0.05)

    train_head(head, loss, len(x), generator, epochs, learning_rate)
    return head


def train_head(
    head: nn.Module,
    loss: Callable[[Tensor], Tensor],
    rows: int,
    generator: torch.Generator,
    epochs: int,
    learning_rate: float,
    *,
    batch_size: int = 128,
    weight_decay: float = 0.05,
) -> None:
    """Train a small head on features that are in memory; in place.

    Args:
        loss: of the rows at these positions.
        rows: how many there are.

    >>> x, y, head = torch.tensor([[-1.0], [1.0]]), torch.tensor([0, 1]), nn.Linear(1, 2)
    >>> train_head(head, lambda rows: F.cross_entropy(head(x[rows]), y[rows]), 2, torch.Generator(), 50, 0.1)
    >>> head(x).argmax(1).tolist()
    [0, 1]
    """
    optimizer = torch.optim.AdamW(head.parameters(), learning_rate, weight_decay=weight_decay)
    for _ in range(epochs):
        for batch in torch.randperm(rows, generator=generator).split(batch_size):
            value = loss(batch)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()


def _gaussians(classes: Sequence[ClassStatistics], covariances: Sequence[Tensor]) -> Gaussians:
    whitening, volume = [], []
    for covariance in covariances:
        values, vectors = torch.linalg.eigh(covariance)
        values = values.clamp_min(1e-8 * values.max())
        whitening.append(vectors / values.sqrt())
        volume.append(-values.log().sum() / 2)
    log_volume = torch.stack(volume).expand(len(classes)).clone()
    return Gaussians(torch.stack([c.mean for c in classes]), torch.stack(whitening), log_volume)
