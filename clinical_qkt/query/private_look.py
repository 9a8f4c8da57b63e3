"""A site's look beside the asker's, told so that no patient can be made out.

The map of a private response is applied to all images, so that one patient would move them all: it is made of
what was told privately, and what comes after is post-processing. Each patient of the classes that both know
adds the numbers by which it differs from the asker's images of its class, in units of their spread, clipped:
first coarsely, then ever more finely around what was told. The releases share one guarantee, see ``SHARES``.
A site that shares no class with the asker compares with the published looks of one that lies between.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from clinical_qkt.data.look_map import MOST, MOST_STEPS
from clinical_qkt.data.look_shared import NEGLIGIBLE, Compared, Looks, compared
from clinical_qkt.privacy.mechanisms import Guarantee, Noise, PatientSums, Release, clipped, private_release
from clinical_qkt.query.looks import AskersLooks
from clinical_qkt.statistics.class_statistics import FEWEST_PATIENTS

RADII = {"coarse": 20.0, "middle": 8.0, "fine": 5.0}
"""At which a patient's numbers are clipped, in Euclidean length: release by release, around what was told."""
SHARES = {"coarse": 0.07, "middle": 0.1, "fine": 0.23, "residual": 0.2, "mean": 0.4}
"""Of the guarantee, by releases, see ``Guarantee.share``."""
LENGTH = 0.05
"""The share of how far features lie off, where images are taken for alike and nothing else is told of what is
left: a difference that noise hid in the look shows there."""


MENDED = 0.6
"""Of its radius, how far a release takes one back whom noise had led off: patients lie around a middle, so
the mean of what is clipped is shorter. Less means more caution: it is so small that of sites that look alike
hardly one is found to differ."""


@dataclass(frozen=True)
class Reference:
    """With whose looks a private response's images are compared; no image decides it.

    Attributes:
        looks: the asker's, or of a further site that lies between.
        classes: that both know, as the asker calls them.
        through: that further site's place in the query; None: the asker itself.
    """

    looks: Looks
    classes: tuple[str, ...]
    through: int | None = None

    @classmethod
    def named(cls, asked: AskersLooks, classes: Sequence[str], through: int | None) -> Reference:
        """As a response names it."""
        looks = asked.classes if through is None else asked.others[through]
        return cls(looks, tuple(classes), through)

    def onward(self, asked: AskersLooks) -> Compared | None:
        """From the further site to the asker; None if nothing leads there."""
        others = [looks for i, looks in enumerate(asked.others) if i != self.through]
        found = compared(self.looks, asked.classes, asked.spread, others)
        return None if found is None or found.steps >= MOST_STEPS else found


def reference(names: Collection[str], asked: AskersLooks) -> Reference | None:
    """The asker's looks if a class is shared; or those from where it is nearest, and that most images tell.

    Args:
        names: the answering site's classes, as the asker calls them: from its list, whatever images it has.
    """
    if shared := sorted(set(names) & set(asked.classes)):
        return Reference(asked.classes, tuple(shared))
    found: list[tuple[int, int, int, Reference]] = []
    for i, looks in enumerate(asked.others):
        one = Reference(looks, tuple(sorted(set(names) & set(looks))), i)
        if one.classes and (onward := one.onward(asked)):
            found.append((onward.steps, -sum(looks[c].count for c in one.classes), i, one))
    return min(found, key=lambda way: way[:3])[3] if found else None


@dataclass(frozen=True)
class PrivateLook:
    """What leaves of a look: whole numbers.

    Attributes:
        releases: by the names in ``RADII``.
    """

    releases: Mapping[str, Release]

    def read(self, guarantee: Guarantee, shares: Mapping[str, float] | None = None) -> tuple[Tensor, float]:
        """By how many spreads the site's look differs from the other's ``(L,)``, and the noise of each.

        Args:
            shares: as they were when it was released; today's by default.
        """
        found, noise = torch.zeros(1, dtype=torch.float64), 0.0
        for name, radius in RADII.items():
            step, of_step = _mean(self.releases[name], radius, guarantee.part((shares or SHARES)[name]))
            # With few patients one may lie farther off than the radius of the next, which mends the rest.
            beyond = max(0.0, noise - MENDED * radius / len(step) ** 0.5)
            noise = math.hypot(of_step, beyond)
            found = found + step
        return found, noise


def differences(numbers: Tensor, classes: Sequence[str], looks: Looks, spread: Tensor) -> Tensor:
    """``(N, L)``: by how many spreads each image's look differs from another site's of its class."""
    if not classes:  # nobody has any of them here, which nobody may learn
        return numbers
    return (numbers - torch.stack([looks[c].numbers for c in classes])) / spread


def private_look(
    found: Tensor, patients: Sequence[str], guarantee: Guarantee, noise: Noise | None = None
) -> PrivateLook:
    """Releases of ``(N, L)`` differences; there is an answer however few patients there are."""
    releases: dict[str, Release] = {}
    around = torch.zeros(found.shape[1], dtype=torch.float64)
    for name, radius in RADII.items():
        part = guarantee.part(SHARES[name])
        releases[name] = _released(found - around, patients, radius, part, noise)
        around = around + _mean(releases[name], radius, part)[0]
    return PrivateLook(releases)


def compared_privately(
    told: PrivateLook,
    guarantee: Guarantee,
    asked: AskersLooks,
    beside: Reference,
    shares: Mapping[str, float] | None = None,
) -> Compared | None:
    """How the site looks beside the asker, as far as the release tells; None: nothing leads to the asker.

    What is no more than noise is taken for alike.
    """
    found, noise = told.read(guarantee, shares)
    length = float(found.square().mean())
    share = max(0.0, 1 - noise**2 / length) if length else 0.0
    wanted = torch.stack([beside.looks[c].numbers for c in beside.classes]).mean(0)
    apart = share**0.5 * length**0.5
    seen = (wanted + share * found * asked.spread).clamp(-MOST, MOST)
    beyond_chance = apart > NEGLIGIBLE + noise / 2
    first = Compared(seen, wanted, beside.classes, apart if beyond_chance else min(apart, NEGLIGIBLE))
    if beside.through is None:
        return first
    onward = beside.onward(asked)
    return None if onward is None else first.then(onward)


def shares_of(told: bool, shared: bool, mapped: bool) -> Mapping[str, float]:
    """What residual and mean spend; the mean has whatever the residual leaves.

    Args:
        told: whether a look is told.
        shared: whether it is told what is left: of classes that both know.
        mapped: whether images are brought to the asker's look; else only the length of features is told.
    """
    if not told:
        return {"mean": 1.0}
    both = SHARES["mean"] + SHARES["residual"]
    if not shared:
        return {"mean": both}
    residual = SHARES["residual"] if mapped else LENGTH
    return {"mean": round(both - residual, 6), "residual": residual}


def _released(
    found: Tensor, patients: Sequence[str], radius: float, guarantee: Guarantee, noise: Noise | None
) -> Release:
    sums = PatientSums(found.shape[1], radius)
    sums.update(found, patients)
    return private_release(sums.contributions(), guarantee, noise)


def _mean(told: Release, radius: float, guarantee: Guarantee) -> tuple[Tensor, float]:
    """``(L,)``, and the noise of each number; no longer than a mean of clipped contributions can be."""
    part = told.read(radius, guarantee)
    patients = max(part.count, FEWEST_PATIENTS)
    mean = clipped((part.total / patients)[None], radius)[0]
    return mean, min(part.noise / patients, radius / len(mean) ** 0.5)
