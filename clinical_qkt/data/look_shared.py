"""Looks of a site's classes, and how two sites' looks compare.

Classes differ in colour, so the images of two sites may look different for the classes that they have. What
differs for the same class is the look. Where two sites share no class, looks of other sites help: class by
class and site by site, what a look adds is estimated from all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from clinical_qkt.data import look
from clinical_qkt.data.look_map import LEAST_VARIANCE, MOST, RIDGE

TWO_WAY_RIDGE = 1e-3
NEGLIGIBLE = 0.3
"""Up to this distance looks count as alike: between hospitals of one laboratory it is 0.05 to 0.15."""


@dataclass(frozen=True)
class ClassLook:
    """How images of one class look at one site.

    Attributes:
        count: patients, or images where nobody is named.
        numbers: ``(L,)`` float64, the mean over these.
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
        shared: classes that both know, on which the comparison rests; none: it rests on other sites.
        distance: root mean square over the numbers, in units of their spread between the other's own images.
    """

    seen: Tensor
    wanted: Tensor
    shared: tuple[str, ...]
    distance: float

    @property
    def alike(self) -> bool:
        """Whether nothing has to be changed."""
        return self.distance <= NEGLIGIBLE


def looks_of(
    numbers: Tensor, labels: Sequence[str], whose: Sequence[str] | None = None
) -> dict[str, ClassLook]:
    """Each class's look, every patient counting once.

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
        found[name] = ClassLook(len(people), means.mean(0))
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


def compared(
    seen: Looks, wanted: Looks, spread: Tensor, channels: int, others: Sequence[Looks] = (), queried: str = ""
) -> Compared | None:
    """How one site's images look beside another's.

    Args:
        seen: of the site whose images are to be mapped.
        wanted: of the site whose look they shall have.
        spread: between the latter's own images, see ``spread_of``.
        others: further sites' looks, for sites that share no class.
        queried: of no shared class, the class whose images are mapped.

    Returns:
        None: there is nothing that could be compared.
    """
    shared = tuple(sorted(set(seen) & set(wanted)))
    if shared:
        a, b = (torch.stack([site[c].numbers for c in shared]).mean(0) for site in (seen, wanted))
    else:
        found = _two_way([wanted, seen, *others], queried, channels)
        if found is None:
            return None
        a, b = found
    return Compared(a, b, shared, distance(a, b, spread))


def _two_way(sites: Sequence[Looks], queried: str, channels: int) -> tuple[Tensor, Tensor] | None:
    """The second site's look of a class, and what it were in the first's: what sites and classes each add.

    Least squares of ``look = site + class``, weighted by counts.
    """
    classes = sorted({c for site in sites for c in site})
    rows = [(k, classes.index(c), found) for k, site in enumerate(sites) for c, found in site.items()]
    of_class = queried if queried in sites[1] else max(sites[1], key=lambda c: sites[1][c].count, default="")
    if not of_class or not _linked(sites):
        return None
    design = torch.zeros(len(rows), len(sites) + len(classes), dtype=torch.float64)
    for i, (k, c, _) in enumerate(rows):
        design[i, k] = design[i, len(sites) + c] = 1
    packed = torch.stack([_packed(found.numbers, channels) for *_, found in rows])
    weight = torch.tensor([float(found.count) for *_, found in rows], dtype=torch.float64)
    weight = (weight / weight.mean())[:, None]
    centre = (weight * packed).mean(0)
    normal = design.T @ (weight * design) + TWO_WAY_RIDGE * torch.eye(design.shape[1], dtype=torch.float64)
    added = torch.linalg.solve(normal, design.T @ (weight * (packed - centre)))
    mine = _packed(sites[1][of_class].numbers, channels)
    seen, wanted = (_unpacked(packed, channels) for packed in (mine, mine - (added[1] - added[0])))
    return seen.clamp(-MOST, MOST), wanted.clamp(-MOST, MOST)


def _linked(sites: Sequence[Looks]) -> bool:
    """Whether the first site's classes lead to the second's, from site to site that share one.

    If they do not, nothing tells what a site adds from what its classes do.
    """
    reached = set(sites[0])
    for _ in sites:
        reached |= {c for site in sites if reached & set(site) for c in site}
    return bool(reached & set(sites[1]))


def _packed(numbers: Tensor, channels: int) -> Tensor:
    """Mean, logarithm of the covariance and sharpness: numbers that add up."""
    mean, covariance, sharpness = look.parts(numbers, channels)
    values, vectors = torch.linalg.eigh(covariance)
    log = vectors @ values.clamp_min(LEAST_VARIANCE).add(RIDGE).log().diag() @ vectors.T
    upper = torch.triu_indices(channels, channels)
    return torch.cat([mean, log[upper[0], upper[1]], sharpness])


def _unpacked(packed: Tensor, channels: int) -> Tensor:
    mean, products, sharpness = packed.split([channels, channels * (channels + 1) // 2, look.BANDS])
    log = packed.new_zeros(channels, channels)
    upper = torch.triu_indices(channels, channels)
    log[upper[0], upper[1]] = products
    log[upper[1], upper[0]] = products
    covariance = torch.linalg.matrix_exp(log) - RIDGE * torch.eye(channels, dtype=torch.float64)
    return look.joined(mean, covariance, sharpness)
