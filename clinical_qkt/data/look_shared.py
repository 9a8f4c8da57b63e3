"""Looks of a site's classes, and how two sites' looks compare.

Classes differ in colour, so the images of two sites may look different for the classes that they have. What
differs for the same class is the look. Two sites that share no class are compared through a third that shares
one with each, or through several.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from scipy.stats import trim_mean
from torch import Tensor

from clinical_qkt.data.look_map import MOST_STEPS, LookMap

NEGLIGIBLE = 0.3
"""Up to this distance looks count as alike: between hospitals of one laboratory it is 0.05 to 0.15."""
TRIMMED = 0.25
"""Of a class's patients, number by number, at either end."""


@dataclass(frozen=True)
class ClassLook:
    """How images of one class look at one site.

    Attributes:
        count: patients, or images where nobody is named.
        numbers: ``(L,)`` float64, the mean over the middle half of these, number by number.
    """

    count: int
    numbers: Tensor


Looks = Mapping[str, ClassLook]
"""A site's, by class, under the names of one label space."""


@dataclass(frozen=True)
class Compared:
    """Two sites' looks of the same.

    Attributes:
        seen, wanted: ``(L,)``, the one's look and the other's.
        classes: that this step rests on.
        distance: root mean square over the numbers, in units of their spread between the other's own images;
            through other sites, of all steps together as the root of their squares' sum.
        before: the step before the last, where other sites lie between: ``seen`` is then the last one's look.
    """

    seen: Tensor
    wanted: Tensor
    classes: tuple[str, ...]
    distance: float
    before: Compared | None = None

    @property
    def shared(self) -> tuple[str, ...]:
        """Classes that both know, on which the comparison rests; none: it rests on other sites."""
        return self.classes if self.before is None else ()

    @property
    def first(self) -> tuple[str, ...]:
        """The one's classes that the comparison starts from."""
        return self.classes if self.before is None else self.before.first

    def then(self, onward: Compared) -> Compared:
        """From the one to the other, and from there on to a third."""
        before = self if onward.before is None else self.then(onward.before)
        return replace(onward, distance=math.hypot(self.distance, onward.distance), before=before)

    @property
    def steps(self) -> int:
        """From site to site."""
        return 1 if self.before is None else 1 + self.before.steps

    @property
    def alike(self) -> bool:
        """Whether nothing has to be changed."""
        return self.distance <= NEGLIGIBLE

    @property
    def map(self) -> LookMap:
        """From the one's look to the other's.

        Raises:
            ValueError: a look is of numbers that no image has.
        """
        before = None if self.before is None else self.before.map
        return LookMap.between(self.seen, self.wanted, before)


def looks_of(
    numbers: Tensor, labels: Sequence[str], whose: Sequence[str] | None = None
) -> dict[str, ClassLook]:
    """Each class's look, every patient counting once.

    Of each number the highest and the lowest quarter are left out, since a few images that are cut off or
    empty move a mean: black corners of some crops were what differed most between two laboratories. A median
    would tell one patient's number.

    Args:
        numbers: ``(N, L)`` of images, see ``look.measured``.
        labels: the class of each.
        whose: the patient of each; None: every image is somebody else's.
    """
    found = {}
    for name in sorted(set(labels)):
        rows = [i for i, label in enumerate(labels) if label == name]
        people: dict[str, list[int]] = {}
        for i in rows:
            people.setdefault(whose[i] if whose else str(i), []).append(i)
        means = torch.stack([numbers[mine].mean(0) for mine in people.values()])
        found[name] = ClassLook(len(people), torch.from_numpy(trim_mean(means.numpy(), TRIMMED)))
    return found


def spread_of(numbers: Tensor, labels: Sequence[str]) -> Tensor:
    """``(L,)``: how far images of the same class lie apart in each number, as a standard deviation."""
    total, count = torch.zeros(numbers.shape[1], dtype=torch.float64), 0
    for name in sorted(set(labels)):
        mine = numbers[[i for i, label in enumerate(labels) if label == name]]
        total, count = total + (mine - mine.mean(0)).square().sum(0), count + len(mine) - 1
    spread = (total / max(1, count)).sqrt()
    return spread.clamp_min(0.01 * float(spread.median()) + 1e-6)


def distance(one: Tensor, other: Tensor, spread: Tensor) -> float:
    """Of two looks, root mean square over the numbers in units of a spread."""
    return float(((one - other) / spread).square().mean().sqrt())


def compared(seen: Looks, wanted: Looks, spread: Tensor, others: Sequence[Looks] = ()) -> Compared | None:
    """How one site's images look beside another's.

    Args:
        seen: of the site whose images are to be mapped.
        wanted: of the site whose look they shall have.
        spread: between the latter's own images, see ``spread_of``.
        others: further sites' looks, for sites that share no class.

    Returns:
        None: nothing leads from the one to the other.
    """
    sites = [seen, wanted, *others]
    found: Compared | None = None
    for one, other in pairwise(_way(sites)):
        shared = sorted(set(sites[one]) & set(sites[other]))
        a, b = (torch.stack([sites[i][c].numbers for c in shared]).mean(0) for i in (one, other))
        apart = distance(a, b, spread)
        step = Compared(a, b, tuple(shared), apart)
        found = step if found is None else found.then(step)
    return found


def _way(sites: Sequence[Looks]) -> list[int]:
    """From the first to the second in the fewest steps, each between sites that share a class; empty if none.

    Of several such ways the one whose least step rests on most images.
    """
    ways = {0: (float("inf"), [0])}
    for _ in range(MOST_STEPS):
        further: dict[int, tuple[float, list[int]]] = {}
        for at, (least, way) in ways.items():
            for to in set(range(len(sites))) - set(way):
                shared = set(sites[to]) & set(sites[at])
                if not shared:
                    continue
                images = sum(min(sites[to][c].count, sites[at][c].count) for c in shared)
                further[to] = max(further.get(to, (0.0, [])), (min(least, images), [*way, to]))
        if 1 in further:
            return further[1][1]
        ways = further
    return []
