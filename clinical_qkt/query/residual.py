"""What is left of a difference in look: by how much features of classes that both sites know still lie apart.

The asker takes it off an answering site's class mean, as far as it is more than chance: shrunk as James and
Stein (1961) would, so that between sites that look alike nothing is taken off.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from clinical_qkt.statistics.class_statistics import FEWEST_PATIENTS, ClassStatistics, PrivateSum

CAUTION = 2.0
"""By what the expected noise is multiplied for exact responses."""


@dataclass(frozen=True, eq=False)
class Residual:
    """Of one answering site.

    Attributes:
        shift: ``(k,)`` mean over shared classes of its features, in the asker's look, less the asker's.
        noise: the variance that each number of it has by chance, and by what was added on purpose.
        private: whether something was.
    """

    shift: Tensor
    noise: float
    private: bool = False

    @property
    def share(self) -> float:
        """Of the shift, how much is taken off: 0 to 1."""
        caution = 1.0 if self.private else CAUTION
        length = float(self.shift.square().sum())
        return max(0.0, 1 - caution * len(self.shift) * self.noise / length) if length else 0.0

    @property
    def per_axis(self) -> float:
        """How far sites lie apart along an axis, in units of the spread within a class, less chance."""
        square = float(self.shift.square().mean()) - self.noise
        return max(0.0, square) ** 0.5


def residual(
    means: Mapping[str, Tensor],
    counts: Mapping[str, int],
    own: Mapping[str, Tensor],
    own_counts: Mapping[str, int],
) -> Residual | None:
    """Of the classes that both know, each counting as much; None if there are none.

    Args:
        means, counts: of the answering site, by class.
        own, own_counts: of the asker.
    """
    shared = sorted(set(means) & set(own))
    if not shared:
        return None
    shift = torch.stack([means[c] - own[c] for c in shared]).mean(0)
    return Residual(shift, expected([counts[c] for c in shared], [own_counts[c] for c in shared]))


def expected(counts: Sequence[int], own_counts: Sequence[int]) -> float:
    """The variance of each number of an exact residual by chance, for features that vary by one in a class.

    Args:
        counts, own_counts: images of each shared class at the answering site and at the asker.
    """
    return sum(1 / n + 1 / m for n, m in zip(counts, own_counts, strict=True)) / len(counts) ** 2


def private_residual(sums: PrivateSum, own_counts: Sequence[int]) -> Residual:
    """Of a private sum over all patients of shared classes of their features less the asker's class mean.

    Args:
        own_counts: images of these classes at the asker.
    """
    patients = max(sums.count, FEWEST_PATIENTS)
    chance = 1 / patients + sum(1 / n for n in own_counts) / max(1, len(own_counts)) ** 2
    return Residual(sums.total / patients, chance + (sums.noise / patients) ** 2, private=True)


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
