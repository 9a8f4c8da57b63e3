"""Class statistics of features: what a site answers with instead of a model; see docs/explanation/method.md.

Count, mean and covariance of one class in the student's feature space, computed in one pass, in float64.
Several sites' answers for one class are pooled, after a look at whether they agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from clinical_qkt.core.terms import KINDS as KINDS
from clinical_qkt.core.terms import Kind as Kind


@dataclass(frozen=True)
class ClassStatistics:
    """One class in one site's images, or in several sites'.

    Attributes:
        count: images; patients in a private response, where it is noised.
        mean: ``(D,)`` float64.
        covariance: ``(D, D)``, its diagonal ``(D,)``, or None.
        noise: standard deviation of what was added to each number of the mean on purpose.
        doubt: ``(D,)``, the variance of what is still not known of the mean; None: next to nothing.
    """

    count: int
    mean: Tensor
    covariance: Tensor | None = None
    noise: float = 0.0
    doubt: Tensor | None = None

    @property
    def kind(self) -> Kind:
        if self.covariance is not None:
            return "covariance" if self.covariance.ndim == 2 else "diagonal"
        return "private_mean" if self.noise else "mean"

    def reduced(self, kind: Kind) -> ClassStatistics:
        """What is left when only this much may be told; exact kinds only."""
        covariance = self.covariance
        if covariance is not None and kind != "covariance":
            covariance = covariance.diagonal() if kind == "diagonal" else None
        return ClassStatistics(self.count, self.mean, covariance, self.noise)

    def first(self, features: int) -> ClassStatistics:
        """The same of so many features, the first."""
        covariance = self.covariance
        if covariance is not None:
            covariance = covariance[(slice(features),) * covariance.ndim]
        return ClassStatistics(self.count, self.mean[:features], covariance, self.noise)


@dataclass(frozen=True)
class PrivateSum:
    """One class in one site's images, as a private response tells it.

    Attributes:
        total: ``(k,)`` float64, of the first k features the sum over patients, noised.
        count: patients, noised; may be negative.
        noise: standard deviation of what was added to each number of the sum.
        count_noise: the same of the count.
    """

    total: Tensor
    count: float
    noise: float
    count_noise: float

    def statistics(self, features: int) -> ClassStatistics:
        """The mean, as far as it can be told; features that were not asked for are at zero, the centre."""
        patients = max(self.count, FEWEST_PATIENTS)
        mean = torch.zeros(features, dtype=torch.float64)
        mean[: len(self.total)] = self.total / patients
        return ClassStatistics(round(patients), mean, noise=self.noise / patients)


FEWEST_PATIENTS = 5
"""A site that answers is taken to have as many at least: a noised count can be anything."""


class Moments:
    """Count, mean and covariance of features that arrive in batches (Chan, Golub and LeVeque, 1983)."""

    def __init__(self, features: int) -> None:
        self.count = 0
        self.mean = torch.zeros(features, dtype=torch.float64)
        self._scatter = torch.zeros(features, features, dtype=torch.float64)

    def update(self, features: Tensor) -> None:
        """Add ``(N, D)``."""
        if not len(features):
            return
        batch = features.double()
        n, mean = len(batch), batch.mean(0)
        gap, total = mean - self.mean, self.count + n
        centred = batch - mean
        self._scatter += centred.T @ centred + torch.outer(gap, gap) * (self.count * n / total)
        self.mean = self.mean + gap * (n / total)
        self.count = total

    def statistics(self) -> ClassStatistics:
        """What has been seen so far; the covariance with N - 1."""
        return ClassStatistics(self.count, self.mean, self._scatter / max(1, self.count - 1))


def class_statistics(features: Tensor) -> ClassStatistics:
    """Of features that are all there, ``(N, D)``.

    >>> told = class_statistics(torch.tensor([[0.0, 0.0], [2.0, 0.0], [4.0, 3.0]]))
    >>> told.count, told.mean.tolist(), told.covariance.tolist()
    (3, [2.0, 1.0], [[4.0, 3.0], [3.0, 3.0]])
    """
    moments = Moments(features.shape[1])
    moments.update(features)
    return moments.statistics()


def united(parts: Sequence[ClassStatistics]) -> ClassStatistics:
    """Exact statistics of a class from those of its parts, at one site: of all their images together.

    Other than between sites, how far the parts' means are apart is a spread of the class. Counts are taken as
    they are told.

    Args:
        parts: of one kind; no image in two of them.

    >>> one, other = class_statistics(torch.zeros(2, 1)), class_statistics(torch.ones(2, 1))
    >>> found = united([one, other])
    >>> found.count, found.mean.tolist(), round(float(found.covariance), 4)
    (4, [0.5], 0.3333)
    """
    count = sum(p.count for p in parts)
    mean = torch.stack([p.count * p.mean for p in parts]).sum(0) / count
    spreads = [(p.count, p.mean - mean, p.covariance) for p in parts if p.covariance is not None]
    if len(spreads) < len(parts):
        return ClassStatistics(count, mean)
    scatter = [
        (n - 1) * spread + n * (torch.outer(gap, gap) if spread.ndim == 2 else gap.square())
        for n, gap, spread in spreads
    ]
    return ClassStatistics(count, mean, torch.stack(scatter).sum(0) / max(1, count - 1))


def added_up(parts: Sequence[PrivateSum]) -> PrivateSum:
    """Private sums of a class's parts, at one site: whoever has images of several is counted in each.

    >>> part = PrivateSum(torch.ones(1).double(), 5.0, noise=3.0, count_noise=0.3)
    >>> found = added_up([part] * 4)
    >>> found.total.tolist(), found.count, found.noise, found.count_noise
    ([4.0], 20.0, 6.0, 0.6)
    """
    total = torch.stack([p.total for p in parts]).sum(0)
    noise, of_count = (
        sum(x**2 for x in spread) ** 0.5
        for spread in zip(*((p.noise, p.count_noise) for p in parts), strict=True)
    )
    return PrivateSum(total, sum(p.count for p in parts), noise, of_count)


def pooled(parts: Sequence[ClassStatistics]) -> ClassStatistics:
    """Several sites' statistics of one class as one.

    Means are weighted by their precision: the inverse of the sampling variance of a feature that varies by
    one, plus the variance of the noise. For exact responses that is the count, for private ones nearly its
    square. Covariances are weighted by counts, over the sites that gave one; how much the means differ from
    site to site is left out of them, since a difference between hospitals is not a spread of the class.

    >>> few, many = ClassStatistics(10, torch.zeros(1).double()), ClassStatistics(30, torch.ones(1).double())
    >>> pooled([few, many]).mean.tolist(), pooled([few, many]).count
    ([0.75], 40)
    """
    weights = torch.tensor([1 / (1 / p.count + p.noise**2) for p in parts], dtype=torch.float64)
    weights = weights / weights.sum()
    mean = sum((w * p.mean for w, p in zip(weights, parts, strict=True)), torch.zeros_like(parts[0].mean))
    noise = float(sum((float(w) * p.noise) ** 2 for w, p in zip(weights, parts, strict=True)) ** 0.5)
    full = [(p.count, p.covariance) for p in parts if p.covariance is not None and p.covariance.ndim == 2]
    flat = [
        (p.count, p.covariance if p.covariance.ndim == 1 else p.covariance.diagonal())
        for p in parts
        if p.covariance is not None
    ]
    chosen = full or flat
    covariance = None
    if chosen:
        total = sum(n for n, _ in chosen)
        covariance = torch.stack([c * (n / total) for n, c in chosen]).sum(0)
    return ClassStatistics(sum(p.count for p in parts), mean, covariance, noise)


@dataclass(frozen=True)
class Agreement:
    """How far one site's answer for a class lies from the others'.

    Attributes:
        distance: between its mean and the reference, per feature, in units of the spread within a class.
        expected: what sampling and noise alone would give.
        limit: beyond which it counts as far off.
        spread: its total variance against that of the student's own classes; None without a covariance.
    """

    distance: float
    expected: float
    limit: float
    spread: float | None

    @property
    def doubt(self) -> str | None:
        """What speaks against the answer, if anything does."""
        if self.distance > self.limit:
            return "is far off the other sites'"
        if self.spread is not None and not 1 / SPREAD_LIMIT <= self.spread <= SPREAD_LIMIT:
            return f"varies {self.spread:.2g} times as much as the own classes do"
        return None

    @property
    def far_off(self) -> bool:
        return self.doubt is not None


SPREAD_LIMIT = 16.0
"""By what factor an answer's total variance may differ from that of the student's own classes."""


def agreement(
    parts: Sequence[ClassStatistics | PrivateSum], own: Sequence[ClassStatistics]
) -> list[Agreement]:
    """Whether the sites that answered for one class speak of the same thing.

    The reference is the other site's mean, or the median over all sites from three on, which one of them
    cannot move far. The limit lets hospitals differ by half the distance from the reference to the nearest
    of the student's own classes: an answer beyond that would move the decision to where that class is. It
    shows mirrored, scaled and mistaken answers, not subtle ones. A single site can only be compared with
    itself: nothing but its spread is looked at.

    Args:
        parts: one class, one a site. If some are private, features are compared as far as they tell them.
        own: the student's own classes.

    >>> near, far = (ClassStatistics(50, torch.full((2,), x, dtype=torch.float64)) for x in (0.1, 9.0))
    >>> own = [ClassStatistics(50, torch.full((2,), x, dtype=torch.float64)) for x in (-2.0, 2.0)]
    >>> [one.far_off for one in agreement([near, near, far], own)]
    [False, False, True]
    """
    width = min(len(p.total if isinstance(p, PrivateSum) else p.mean) for p in parts)
    told = [p.statistics(width) if isinstance(p, PrivateSum) else p.first(width) for p in parts]
    return _compared(told, [o.first(width) for o in own], width)


def _compared(
    parts: Sequence[ClassStatistics], own: Sequence[ClassStatistics], width: int
) -> list[Agreement]:
    means = torch.stack([p.mean for p in parts])
    usual = sum(float(_variances(o).sum()) for o in own) / max(1, len(own))
    found = []
    for i, part in enumerate(parts):
        others = [j for j in range(len(parts)) if j != i]
        reference = means.median(0).values if len(parts) > 2 else means[others or [i]].mean(0)
        doubt = [1 / parts[j].count + parts[j].noise ** 2 for j in (others or [i])]
        expected = (1 / part.count + part.noise**2 + sum(doubt) / len(doubt)) ** 0.5
        nearest = min((float((reference - o.mean).norm()) for o in own), default=float("inf"))
        distance = float((part.mean - reference).norm()) / width**0.5
        limit = max(nearest / 2 / width**0.5, 0.0) + 2 * expected
        spread = float(_variances(part).sum()) / usual if part.covariance is not None and usual else None
        found.append(Agreement(distance, expected, limit, spread))
    return found


def _variances(part: ClassStatistics) -> Tensor:
    if part.covariance is None:
        return torch.zeros_like(part.mean)
    return part.covariance if part.covariance.ndim == 1 else part.covariance.diagonal()
