"""The assessment package: what a site measured of another site's new model, on its own test images.

All that is told stands on the card, where whoever agrees to it reads it. The tensors' file, which every
package has, holds no tensor: numbers that lay there as well would have to be held against the card's, and a
package without the file would need a writer, a reader and digests of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from clinical_qkt.core.errors import PackageError
from clinical_qkt.core.values import Sent
from clinical_qkt.data.label_space import ClassLabel, LabelSpace
from clinical_qkt.packages.card import PackageCard
from clinical_qkt.packages.reader import Reading
from clinical_qkt.packages.signing import Signed, Trust
from clinical_qkt.packages.writer import CARD, write_package

MOST = 1000
"""Classes that a model may have gained."""
SHA256 = r"^[0-9a-f]{64}$"
Counted = Annotated[int, Field(ge=0, le=10**9)]


class OtherImages(Sent):
    """The site's test images of the classes that the model knew before it gained others."""

    images: int = Field(ge=1, le=10**9)
    """How many, rounded down."""
    patients: int | None = Field(default=None, ge=1, le=10**9)
    """Of how many patients, rounded down; null where the site's images name none."""


class ClassAssessment(Sent):
    """What a site measured of one gained class."""

    label: ClassLabel
    """As on the model's card."""
    declined: str | None = Field(default=None, max_length=300)
    """Why no recall is told; null if it is."""
    images: int | None = Field(default=None, ge=1, le=10**9)
    """Test images of the class, rounded down; null where no recall is told."""
    patients: int | None = Field(default=None, ge=1, le=10**9)
    """Of how many patients, rounded down; null where the site's images name none, or no recall is told."""
    recall: int | None = Field(default=None, ge=0, le=100)
    """Of 100 of these images, how many are recognised, to a whole number; null where it is not told."""
    called: Counted | None = None
    """Of the images under `others`, how many are called this class, rounded down; null: not told."""

    @model_validator(mode="after")
    def _whole(self) -> ClassAssessment:
        told = [self.images, self.recall]
        if told.count(None) == 1 or (self.declined is None) == (self.recall is None):
            raise ValueError("either images and recall, or a reason for none")
        if self.patients is not None and (self.images is None or self.patients > self.images):
            raise ValueError("patients: more than there are images")
        return self


class AssessmentCard(PackageCard):
    """What a site measured of a model."""

    TENSORS: ClassVar[str] = "nothing.safetensors"

    format: Literal["clinical-qkt/assessment/1"] = "clinical-qkt/assessment/1"
    """What kind of package it is, and the version of this schema."""
    model_sha256: str = Field(pattern=SHA256)
    """Of the weights of the model that was measured."""
    model_card_sha256: str = Field(pattern=SHA256)
    """Of its card, as it came."""
    rounding: int = Field(ge=1, le=100)
    """All counts are multiples of it, rounded down: the true one may be larger by one less than this."""
    classes: list[ClassAssessment] = Field(min_length=1, max_length=MOST)
    """One for each class that the model gained, in the order of its card."""
    others: OtherImages | None = None
    """On which images false alarms were counted; null: none are told."""
    licence: str = Field(default="to judge this model only", max_length=200)
    """What the receiver may do with it."""

    @model_validator(mode="after")
    def _consistent(self) -> AssessmentCard:
        LabelSpace([c.label for c in self.classes], where="classes")
        counts = [n for c in self.classes for n in (c.images, c.patients, c.called)]
        counts += [self.others.images, self.others.patients] if self.others else []
        if any(n is not None and n % self.rounding for n in counts):
            raise ValueError("rounding: a count is no multiple of it")
        called = [c.called for c in self.classes if c.called is not None]
        if called and not self.others:
            raise ValueError("others: is missing, and false alarms are told")
        if self.others and sum(called) > self.others.images + self.rounding - 1:
            raise ValueError("called: more images than there are under 'others'")
        if self.others and self.others.patients and self.others.patients > self.others.images:
            raise ValueError("others: more patients than images")
        return self

    @property
    def tells(self) -> bool:
        """Whether any figure is told."""
        return any(c.recall is not None or c.called is not None for c in self.classes)


@dataclass(frozen=True)
class Assessment:
    """An assessment package, verified.

    Attributes:
        digest: of the card: it names the assessment.
    """

    card: AssessmentCard
    digest: str
    bytes: int
    signed: Signed = field(default_factory=Signed)

    @property
    def site(self) -> str:
        return self.card.site


def save_assessment(
    folder: Path,
    card: AssessmentCard,
    *,
    signing_key: Path | None = None,
    agree: Callable[[Path, AssessmentCard], None] | None = None,
) -> AssessmentCard:
    """Write an assessment package; see ``writer.write_package``."""
    return write_package(folder, card, {}, check=load_assessment, signing_key=signing_key, agree=agree)


def load_assessment(
    folder: str | Path,
    trust: Trust | None = None,
    *,
    model_sha256: str | None = None,
    gained: Sequence[str] | None = None,
) -> Assessment:
    """Load an assessment after checking it from the outside in, see ``reader``.

    Args:
        trust: whose packages this site takes; None: signatures are not looked at.
        model_sha256: of the weights of the model that it has to be of; None: of any.
        gained: the names of that model's gained classes.

    Raises:
        PackageError: the package is refused; nothing of it is used.
    """
    reading = Reading(folder, AssessmentCard, trust)
    if reading.card and model_sha256 is not None:
        _check_fit(reading, reading.card, model_sha256, gained)
    reading.tensors({})
    assert reading.card is not None
    return Assessment(reading.card, reading.digests[CARD], reading.bytes, reading.signed)


def once_each(assessments: Sequence[Assessment]) -> list[Assessment]:
    """Assessments of different sites.

    Raises:
        PackageError: two come from the same one.
    """
    seen: set[str] = set()
    for one in assessments:
        if one.site in seen:
            raise PackageError(
                f"a second assessment of the site '{one.site}'",
                where="assessments",
                fix="list each site's assessment once under 'assessments'",
            )
        seen.add(one.site)
    return list(assessments)


def _check_fit(
    reading: Reading[AssessmentCard], card: AssessmentCard, model_sha256: str, gained: Sequence[str] | None
) -> None:
    """Note what of an assessment does not fit the model that it should be of."""
    if card.model_sha256 != model_sha256:
        reading.problem(
            CARD,
            "is of another model than the one that lies in 'transfer_dir' now",
            "have that one assessed: share it in single precision, and send that package",
        )
    elif gained is not None and [c.label.name for c in card.classes] != list(gained):
        reading.problem(CARD, "is of other classes than this model gained")
