"""Looks as packages tell them: of the sender's training images, class by class; see ``data.look``.

They are exact numbers over a class's patients: classes of few are not told.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import islice
from typing import Annotated, Literal

import torch
from pydantic import Field, field_validator, model_validator
from torch import Tensor

from clinical_qkt.core.errors import InputError
from clinical_qkt.core.values import Sent
from clinical_qkt.data.inputs import InputContract
from clinical_qkt.data.label_space import ClassLabel, LabelSpace
from clinical_qkt.data.look import Scale, numbers, scale_of
from clinical_qkt.data.look_map import Look
from clinical_qkt.data.look_shared import ClassLook, Looks
from clinical_qkt.privacy.statement import tens

FEW = 10
"""What a number of patients that is not told, as it is below 20, counts as."""
DIGITS = 6
"""Of a number that is told."""
MOST_FURTHER = 200
"""Classes that only further sites know: the list of all grows with their square."""

Spread = Annotated[
    list[Annotated[float, Field(ge=1e-6, le=100, allow_inf_nan=False)]], Field(min_length=8, max_length=160)
]


class LookOfClass(Sent):
    """How the images of one class look."""

    label: ClassLabel
    """The class."""
    count: int | None = Field(default=None, ge=20, le=10**9)
    """Patients, or images where nobody is named; rounded down to tens, null for fewer than 20."""
    numbers: Look
    """The mean over the middle half of these: of the mean tone of each channel (optical densities of colour
    pictures, shares of the intensities' range of others), of the tones' covariances over an image's places,
    and of half the natural logarithm of the power in six bands of spatial frequency; see the page on looks
    for their order."""


class SentLooks(Sent):
    """How the sender's training images look, prepared as the card's ``input`` says."""

    version: Literal["look/2"] = "look/2"
    """What the numbers are, and their order."""
    scale: Scale
    """What tones are: optical densities, intensities that a gain changes, or calibrated ones."""
    classes: list[LookOfClass] = Field(min_length=1, max_length=1000)
    """The sender's classes that have enough patients."""
    spread: Spread
    """Of each number, the standard deviation between images of a class: the unit of differences."""

    @field_validator("classes", mode="after")
    @classmethod
    def _each_once(cls, classes: list[LookOfClass]) -> list[LookOfClass]:
        LabelSpace([one.label for one in classes])
        return classes

    @model_validator(mode="after")
    def _as_many(self) -> SentLooks:
        if any(len(one.numbers) != len(self.spread) for one in self.classes):
            raise ValueError("looks of images with different channels")
        return self

    @classmethod
    def of(
        cls, looks: Looks, spread: Tensor, labels: Iterable[ClassLabel], given: InputContract, fewest: int
    ) -> SentLooks | None:
        """What of a site's looks may be told; None if it is nothing.

        Args:
            looks, spread: as ``data.look_shared`` finds them.
            labels: the classes by whose names these are known; looks of others are left out.
            given: as which the images were prepared.
            fewest: patients; a class of fewer is not told, since its look could single one out.
        """
        told = [
            LookOfClass(label=c.plain, count=tens(looks[c.name].count), numbers=short(looks[c.name].numbers))
            for c in labels
            if c.name in looks and looks[c.name].count >= fewest
        ]
        if not told:
            return None
        scale = scale_of(given.intensity, given.channels)
        return cls(scale=scale, classes=told, spread=short(spread))

    @property
    def labels(self) -> list[ClassLabel]:
        """The classes that are told."""
        return [one.label for one in self.classes]

    @property
    def looks(self) -> dict[str, ClassLook]:
        """The same to compute with, by the sender's names."""
        return {label.name: look for label, look in self.looks_by_label}

    @property
    def looks_by_label(self) -> list[tuple[ClassLabel, ClassLook]]:
        """The same with what the sender says of each class."""
        return [
            (one.label, ClassLook(one.count or FEW, torch.tensor(one.numbers, dtype=torch.float64)))
            for one in self.classes
        ]

    @property
    def spreads(self) -> Tensor:
        """``(L,)`` float64."""
        return torch.tensor(self.spread, dtype=torch.float64)

    def obstacle(self, given: InputContract) -> str | None:
        """Why these cannot be looks of images that are prepared so; or None."""
        if len(self.spread) != numbers(given.channels):
            return f"looks have {len(self.spread)} numbers, {numbers(given.channels)} are needed"
        scale = scale_of(given.intensity, given.channels)
        return None if self.scale == scale else f"looks are of tones of scale '{self.scale}', not '{scale}'"


def vocabulary(own: Sequence[ClassLabel], others: Sequence[SentLooks]) -> LabelSpace:
    """Classes by whose names all go: own ones, and those of further sites, as the first of them calls each.

    What could be several classes is left out, as are further ones beyond ``MOST_FURTHER``.

    Args:
        own: the asker's classes, and the queried ones.
    """
    known = LabelSpace(own)
    for label in islice((label for one in others for label in one.labels), 10 * MOST_FURTHER):
        if len(known) < len(own) + MOST_FURTHER:
            with suppress(InputError):
                known = known if known.find(label) is not None else known.extended([label.plain])
    return known


def under(known: LabelSpace, told: SentLooks) -> dict[str, ClassLook]:
    """A further site's looks under the names of a vocabulary; what could be several classes is left out."""
    found = {}
    for label, look in told.looks_by_label:
        with suppress(InputError):
            place = known.find(label)
            if place is not None:
                found[known[place].name] = look
    return found


def short(values: Tensor) -> list[float]:
    """So many digits as are told."""
    return [float(f"{x:.{DIGITS}g}") for x in values.tolist()]
