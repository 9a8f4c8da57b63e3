"""What is left of a difference in look: by how much features of classes that both sites know still lie apart.

The asker takes it off an answering site's class mean, as far as it is more than chance: shrunk as James and
Stein (1961) would, so that between sites that look alike nothing is taken off. Where very much is left, a map
of looks has not made the images alike: features are clipped to the query's radius as in private responses,
lest a few axes along which they lie far off rule the class. Clipped features of laboratories that have
nothing in common lie no farther apart than of those that nearly do: so a private response tells beside them
how far they lay off before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from clinical_qkt.privacy.mechanisms import Guarantee, PatientSums, Release, clipped
from clinical_qkt.statistics.class_statistics import FEWEST_PATIENTS, ClassStatistics, PrivateSum

CAUTION = 2.0
"""By what the expected noise is multiplied for exact responses."""
FAR = 2.0
"""Left along an axis, in spreads within a class; where it is more, features are clipped."""
REACH = 4.0
"""Of the radius: up to which length a private response tells how far features lie off."""
WEIGHT = 0.5
"""Of the radius: what one who lies so far off adds to the number that tells it. It makes the noise on all
numbers larger by an eighth."""


@dataclass(frozen=True, eq=False)
class Residual:
    """Of one answering site.

    Attributes:
        shift: ``(k,)`` mean over shared classes of its features, in the asker's look, less the asker's.
        noise: the variance that each number of it has by chance, and by what was added on purpose.
        private: whether something was.
        unclipped: where features were clipped because so much was left, or for privacy, what had been left
            per axis as far as it is known.
    """

    shift: Tensor
    noise: float
    private: bool = False
    unclipped: float | None = None

    @property
    def share(self) -> float:
        """Of the shift, how much is taken off: 0 to 1."""
        caution = 1.0 if self.private else CAUTION
        length = float(self.shift.square().sum())
        return max(0.0, 1 - caution * len(self.shift) * self.noise / length) if length else 0.0

    @property
    def per_axis(self) -> float:
        """How far sites lie apart along an axis, in units of the spread within a class, less chance.

        Of features that were not clipped.
        """
        if self.unclipped is not None:
            return self.unclipped
        square = (float(self.shift.square().mean()) if len(self.shift) else 0.0) - self.noise
        return max(0.0, square) ** 0.5


class Apart:
    """How far features of one class at an answering site are from the asker's mean, in batches.

    Args:
        mean: ``(D,)`` of the asker's features of this class.
        radius: at which differences are clipped, in Euclidean length.
    """

    def __init__(self, mean: Tensor, radius: float) -> None:
        self.own, self.radius, self.count = mean, radius, 0
        self._sum, self._clipped = torch.zeros_like(mean), torch.zeros_like(mean)

    def update(self, features: Tensor) -> None:
        """Add ``(N, D)``."""
        apart = features.double() - self.own
        self.count += len(apart)
        self._sum = self._sum + apart.sum(0)
        self._clipped = self._clipped + clipped(apart, self.radius).sum(0)

    @property
    def mean(self) -> Tensor:
        """``(D,)`` on average over all images."""
        return self._sum / self.count

    @property
    def clipped_mean(self) -> Tensor:
        """``(D,)``, the same of clipped differences."""
        return self._clipped / self.count


def residual(classes: Mapping[str, Apart], own_counts: Mapping[str, int]) -> Residual | None:
    """Of the classes that both know, each counting as much; None if there are none.

    Args:
        own_counts: images of each class at the asker.
    """
    shared = sorted(classes)
    if not shared:
        return None
    noise = expected([classes[c].count for c in shared], [own_counts[c] for c in shared])
    found = Residual(torch.stack([classes[c].mean for c in shared]).mean(0), noise)
    if found.per_axis <= FAR:
        return found
    shift = torch.stack([classes[c].clipped_mean for c in shared]).mean(0)
    return Residual(shift, noise, unclipped=found.per_axis)


def expected(counts: Sequence[int], own_counts: Sequence[int]) -> float:
    """The variance of each number of an exact residual by chance, for features that vary by one in a class.

    Args:
        counts, own_counts: images of each shared class at the answering site and at the asker.
    """
    return sum(1 / n + 1 / m for n, m in zip(counts, own_counts, strict=True)) / len(counts) ** 2


def private_sums(axes: int, radius: float, mapped: bool) -> PatientSums:
    """For what ``told_of`` gives, no row of which is longer than these sums allow."""
    return PatientSums(axes + 1 if mapped else 1, _reach(radius, mapped))


def told_of(apart: Tensor, radius: float, mapped: bool) -> Tensor:
    """What is added up of differences: ``with_length``; where nothing was mapped the length alone."""
    found = with_length(apart, radius)
    return found if mapped else found[:, -1:]


def with_length(apart: Tensor, radius: float) -> Tensor:
    """``(N, k + 1)``: clipped differences, and how much longer than the radius they were.

    Args:
        apart: ``(N, k)`` features less the asker's mean of the class.

    >>> with_length(torch.tensor([[0.6, 0.8], [6.0, 8.0], [60.0, 80.0]]), 5.0).round(decimals=3).tolist()
    [[0.6, 0.8, 0.0], [3.0, 4.0, 0.833], [3.0, 4.0, 2.5]]
    """
    beyond = (apart.double().norm(dim=1, keepdim=True) / radius - 1).clamp(0, REACH - 1)
    return torch.cat([clipped(apart, radius), WEIGHT * radius / (REACH - 1) * beyond], 1)


def private_residual(
    release: Release,
    guarantee: Guarantee,
    axes: int,
    radius: float,
    length: float,
    own_counts: Sequence[int],
    mapped: bool,
) -> Residual:
    """Of the release of ``private_sums`` over all patients of shared classes.

    How far features lie off is told less what noise may have added.

    Args:
        guarantee: of this release.
        axes, radius: the query's.
        length: of an image's features at the asker, as the query tells it.
        own_counts: images of these classes at the asker.
        mapped: see ``told_of``; of images that were not, nothing is taken off.
    """
    sums = release.read(_reach(radius, mapped), guarantee)
    patients = max(sums.count, FEWEST_PATIENTS)
    mean, noise = sums.total / patients, sums.noise / patients
    chance = 1 / patients + sum(1 / n for n in own_counts) / max(1, len(own_counts)) ** 2
    found = Residual(mean[:-1], chance + noise**2, private=True)
    beyond = (REACH - 1) * min(1.0, max(0.0, float(mean[-1]) - noise) / (WEIGHT * radius))
    square = max(0.0, ((1 + beyond) * radius) ** 2 - length**2) / axes
    return replace(found, unclipped=max(found.per_axis, square**0.5))


def _reach(radius: float, mapped: bool) -> float:
    return radius * ((1 if mapped else 0) + WEIGHT**2) ** 0.5


def taken_off(part: ClassStatistics | PrivateSum, left: Residual | None) -> ClassStatistics | PrivateSum:
    """What a site answered, as it were without what is left of the difference."""
    if left is None or not left.share:
        return part
    if isinstance(part, PrivateSum):
        off = left.share * left.shift[: len(part.total)]
        return replace(part, total=part.total - max(part.count, FEWEST_PATIENTS) * off)
    off = torch.zeros_like(part.mean)
    off[: len(left.shift)] = left.share * left.shift
    return replace(part, mean=part.mean - off)
