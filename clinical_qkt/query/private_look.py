"""A site's look beside the asker's, told so that no patient can be made out.

The map of a private response is applied to all images, so that one patient would move them all: it is made of
what was told privately, and what comes after is post-processing. Each patient of the classes that both know
adds the numbers by which it differs from the asker's images of its class, in units of their spread, clipped:
first coarsely, then finely around what the first told. The releases share one guarantee, see ``SHARES``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from clinical_qkt.data.look_map import MOST
from clinical_qkt.data.look_shared import NEGLIGIBLE, Compared
from clinical_qkt.privacy.mechanisms import Guarantee, Noise, PatientSums, Release, private_release
from clinical_qkt.query.looks import AskersLooks
from clinical_qkt.statistics.class_statistics import FEWEST_PATIENTS

COARSE, FINE = 20.0, 8.0
"""Radii at which a patient's numbers are clipped, in Euclidean length."""
SHARES = {"coarse": 0.1, "fine": 0.25, "residual": 0.25, "mean": 0.4}
"""Of the guarantee, by releases, see ``Guarantee.share``."""


@dataclass(frozen=True)
class PrivateLook:
    """What leaves of a look: whole numbers."""

    coarse: Release
    fine: Release

    def read(self, guarantee: Guarantee, shares: Mapping[str, float] | None = None) -> tuple[Tensor, float]:
        """By how many spreads the site's look differs from the asker's ``(L,)``, and the noise of each.

        Args:
            shares: as they were when it was released; today's by default.
        """
        shares = shares or SHARES
        first, rough = _mean(self.coarse, COARSE, guarantee.part(shares["coarse"]))
        mean, noise = _mean(self.fine, FINE, guarantee.part(shares["fine"]))
        # With few patients the first may lie so far off that the second is clipped, whatever it finds.
        return first + mean, noise if rough * len(first) ** 0.5 <= FINE else max(noise, rough)


def differences(numbers: Tensor, classes: Sequence[str], asked: AskersLooks) -> Tensor:
    """``(N, L)``: by how many spreads each image's look differs from the asker's of its class."""
    if not classes:  # nobody has any of them here, which nobody may learn
        return numbers
    wanted = torch.stack([asked.classes[c].numbers for c in classes])
    return (numbers - wanted) / asked.spread


def private_look(
    found: Tensor, patients: Sequence[str], guarantee: Guarantee, noise: Noise | None = None
) -> PrivateLook:
    """Two releases of ``(N, L)`` differences; there is an answer however few patients there are."""
    coarse = _released(found, patients, COARSE, guarantee.part(SHARES["coarse"]), noise)
    around = _mean(coarse, COARSE, guarantee.part(SHARES["coarse"]))[0]
    return PrivateLook(
        coarse, _released(found - around, patients, FINE, guarantee.part(SHARES["fine"]), noise)
    )


def compared_privately(
    told: PrivateLook,
    guarantee: Guarantee,
    asked: AskersLooks,
    shared: Sequence[str],
    shares: Mapping[str, float] | None = None,
) -> Compared:
    """The two looks, as far as the release tells them: what is no more than noise is taken for alike."""
    found, noise = told.read(guarantee, shares)
    length = float(found.square().mean())
    share = max(0.0, 1 - noise**2 / length) if length else 0.0
    wanted = torch.stack([asked.classes[c].numbers for c in shared]).mean(0)
    apart = share**0.5 * length**0.5
    seen = (wanted + share * found * asked.spread).clamp(-MOST, MOST)
    beyond_chance = apart > NEGLIGIBLE + noise / 2
    return Compared(seen, wanted, tuple(shared), apart if beyond_chance else min(apart, NEGLIGIBLE))


def shares_of(alike: bool, shared: bool) -> Mapping[str, float]:
    """What residual and mean spend: where nothing is mapped there is no residual, and the mean has it all."""
    if not shared:
        return {"mean": 1.0}
    if alike:
        return {"mean": SHARES["mean"] + SHARES["residual"]}
    return {"mean": SHARES["mean"], "residual": SHARES["residual"]}


def _released(
    found: Tensor, patients: Sequence[str], radius: float, guarantee: Guarantee, noise: Noise | None
) -> Release:
    sums = PatientSums(found.shape[1], radius)
    sums.update(found, patients)
    return private_release(sums.contributions(), guarantee, noise)


def _mean(told: Release, radius: float, guarantee: Guarantee) -> tuple[Tensor, float]:
    part = told.read(radius, guarantee)
    patients = max(part.count, FEWEST_PATIENTS)
    return part.total / patients, part.noise / patients
