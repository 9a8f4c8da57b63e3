"""How an answering site's images look beside the asker's, and what features of shared classes show of it.

For an exact response the looks are those of the images. A private response rests on what was released of the
look, drawn before any image is mapped: so what comes after is a function of that, and of each patient apart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from clinical_qkt.core.errors import OutputError
from clinical_qkt.data.inputs import InputContract
from clinical_qkt.data.look_shared import Compared, looks_of
from clinical_qkt.privacy.mechanisms import Guarantee, Noise, PatientSums
from clinical_qkt.query.looks import AskersLooks, change, in_look
from clinical_qkt.query.private_look import (
    PrivateLook,
    Reference,
    compared_privately,
    differences,
    private_look,
    shares_of,
)
from clinical_qkt.query.residual import Apart, Residual, residual, told_of


@dataclass(frozen=True)
class Numbers:
    """What was measured of some images.

    Attributes:
        rows: ``(N, L)``, see ``data.look.measured``.
        classes: of each image, as the asker calls it.
        patients: of each.
    """

    rows: Tensor
    classes: Sequence[str]
    patients: Sequence[str]


@dataclass(eq=False)
class SeenLook:
    """Of one response, or of several whose images are mapped alike.

    Attributes:
        compared: None: nothing could be compared.
        counts: images of each class that was measured.
        private, beside: what a private response tells of the look, and with whose it is compared.
        sums: of a private response, over patients of shared classes: features less the asker's class mean.
        axes: of a private response.
        radius: at which features are clipped, in an exact response where much is left of the difference.
        apart: of an exact response, how far features of each shared class are from the asker's.
        finite: whether all of these could be added up.
    """

    asked: AskersLooks
    compared: Compared | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    private: PrivateLook | None = None
    beside: Reference | None = None
    sums: PatientSums | None = None
    axes: int = 0
    radius: float = float("inf")
    apart: dict[str, Apart] = field(default_factory=dict)
    finite: bool = True

    @property
    def shared(self) -> tuple[str, ...]:
        """Classes on which the comparison rests, as the asker calls them."""
        return self.compared.shared if self.compared else ()

    @property
    def mapped(self) -> bool:
        """Whether images are brought to the asker's look."""
        return self.compared is not None and not self.compared.alike

    @property
    def shares(self) -> Mapping[str, float]:
        """Of a private response's guarantee, what its residual and its mean spend."""
        return shares_of(self.private is not None, bool(self.shared), self.mapped)

    @property
    def tells_left(self) -> bool:
        """Whether features of shared classes are looked at: how far they lie off, or what a map left."""
        return bool(self.shared) and (self.mapped or self.private is not None)

    def contract(self, given: InputContract) -> InputContract:
        """As which images are prepared."""
        return in_look(given, self.compared)

    def update(self, name: str, features: Tensor, patients: Sequence[str]) -> None:
        """Add ``(N, D)`` of images of a shared class, brought to the asker's look."""
        if self.sums is not None:
            apart = features[:, : self.axes] - self.asked.means[name][: self.axes]
            self.sums.update(told_of(apart, self.radius, self.mapped), patients)
            return
        self.finite = self.finite and bool(torch.isfinite(features).all())
        if self.finite:
            self.apart.setdefault(name, Apart(self.asked.means[name], self.radius)).update(features)

    def left(self) -> Residual | None:
        """Of an exact response, what is left of the difference; None where nothing was mapped.

        Raises:
            OutputError: images that were there to be measured are there no more.
        """
        if not (self.mapped and self.shared and self.finite):
            return None
        if gone := [c for c in self.shared if c not in self.apart]:
            raise OutputError(
                "images of a class could be read once and not again",
                where=f"class '{gone[0]}'",
                fix="look after the disk that they lie on, and answer again",
            )
        return residual(self.apart, {c: told.count for c, told in self.asked.classes.items()})


def seen_exactly(numbers: Numbers, asked: AskersLooks, fewest: int, radius: float) -> SeenLook:
    """Of images of shared classes; where there are none, of those that further sites know.

    Args:
        fewest: patients; a class of fewer is left out.
        radius: the query's.
    """
    found = looks_of(numbers.rows, numbers.classes, numbers.patients) if len(numbers.rows) else {}
    enough = {c: told for c, told in found.items() if told.count >= fewest}
    return SeenLook(asked, change(enough, asked), Counter(numbers.classes), radius=radius)


def seen_privately(
    numbers: Numbers, asked: AskersLooks, beside: Reference, guarantee: Guarantee, noise: Noise | None
) -> SeenLook:
    """Of all images of the classes that both know, however few.

    Args:
        beside: with whose looks; what follows is a function of these and of the release.
        guarantee: of the whole response.
        noise: its source; the operating system's randomness by default.
    """
    found = differences(numbers.rows, numbers.classes, beside.looks, asked.spread)
    told = private_look(found, numbers.patients, guarantee, noise)
    return SeenLook(asked, compared_privately(told, guarantee, asked, beside), private=told, beside=beside)
