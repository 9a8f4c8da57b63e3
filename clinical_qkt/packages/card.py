"""Cards: what a package holds, as data that a schema checks; and the card of a model."""

from __future__ import annotations

import datetime
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Discriminator, Field, Tag, ValidationInfo, field_validator, model_validator

from clinical_qkt.core.terms import PSEUDONYM as PSEUDONYM
from clinical_qkt.core.terms import Precision as Precision
from clinical_qkt.core.values import Sent
from clinical_qkt.core.version import __version__
from clinical_qkt.data.inputs import InputContract
from clinical_qkt.data.label_space import DistinctClasses, LabelSpace
from clinical_qkt.networks.committee import CommitteeSpec
from clinical_qkt.networks.gaussian_classifier import GaussianSpec, kind_of_network
from clinical_qkt.networks.multihead import MultiHeadSpec
from clinical_qkt.networks.spec import NetworkSpec
from clinical_qkt.packages.licences import OWN, Licences
from clinical_qkt.packages.looks import SentLooks
from clinical_qkt.packages.made_of import MadeOf
from clinical_qkt.packages.pretrained import Pretrained
from clinical_qkt.privacy.statement import PrivacyStatement, Share, TrainingSummary

AnyNetwork = Annotated[
    Annotated[NetworkSpec, Tag("network")]
    | Annotated[GaussianSpec, Tag("gaussian")]
    | Annotated[MultiHeadSpec, Tag("multihead")]
    | Annotated[CommitteeSpec, Tag("committee")],
    Discriminator(kind_of_network),
]
"""One network, one with a head made of statistics or with a head for each model, or a committee of such."""


ClassName = Annotated[str, Field(max_length=200)]


class KnowledgeMask(Sent):
    """What noise probes said of the model, class by class; publishing it is the sender's choice."""

    scores: dict[ClassName, Share] = Field(max_length=1000)
    """The probes' score of each class, 0 to 1; of a randomised mask 0 or 1 alone."""
    threshold: Share
    """A class counts as known from this score on."""
    epsilon: float | None = Field(default=None, gt=0, le=100)
    """Of the randomised response by which each class was told; null: the scores are as found."""


class PackageCard(Sent):
    """What every package's card says."""

    TENSORS: ClassVar[str]

    software: str = Field(default=f"clinical-qkt {__version__}", max_length=100)
    """The program that wrote the package, with its version."""
    created: str = Field(
        default_factory=lambda: datetime.date.today().isoformat(), pattern=r"^\d{4}-\d{2}-\d{2}$"
    )
    """The day on which it was written, as year-month-day."""
    site: str = Field(pattern=PSEUDONYM)
    """The sender's pseudonym, never a name that identifies patients. The signature is checked against it."""
    task: str = Field(pattern=PSEUDONYM)
    """What is classified, e.g. ``blood_cell_classification``."""
    weights_sha256: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")
    """SHA-256 of the tensors' file."""
    generated_data: bool = False
    """Made from generated images, not from patients."""

    @field_validator("created", mode="after")
    @classmethod
    def _a_day(cls, created: str) -> str:
        datetime.date.fromisoformat(created)
        return created

    def facts(self) -> dict[str, Any]:
        """The card as plain JSON data."""
        return self.model_dump(mode="json")


_LICENCE: dict[str, tuple[type, str]] = {
    "clinical-qkt/model/1": (str, "one text"),
    "clinical-qkt/model/2": (list, "a list of texts"),
}


class Card(PackageCard):
    """What accompanies a model's weights."""

    TENSORS: ClassVar[str] = "model.safetensors"

    format: Literal["clinical-qkt/model/1", "clinical-qkt/model/2"] = "clinical-qkt/model/2"
    """What kind of package it is, and the version of this schema. In the first ``licence`` is one text."""
    label_space: DistinctClasses = Field(min_length=1, max_length=1000)
    """The classes with their codes, one a row of the head, in its order."""
    network: AnyNetwork
    """A network of the closed list with literal arguments; nothing else can be named."""
    head: str = Field(max_length=200)
    """The name of the last linear layer."""
    precision: Precision = "float32"
    """Of the weights in the file; whoever receives them computes in single precision all the same."""
    input: InputContract
    """What the network expects of an image."""
    recall: dict[ClassName, Share] = Field(default={}, max_length=1000)
    """On the sender's own test images, by class, to whole percents."""
    knowledge_mask: KnowledgeMask | None = None
    """What noise probes say that the model knows; null: not told."""
    training: TrainingSummary | None = None
    """Coarse numbers of the training; null: not told."""
    looks: SentLooks | None = Field(default=None, exclude_if=lambda told: told is None)
    """How the training images look, prepared as ``input`` says, by class: whoever receives the model can show
    it images in that look. Null or left out: not told."""
    privacy: PrivacyStatement = PrivacyStatement()
    """What the sender knows of how much the model tells about its patients."""
    licence: Licences = Field(default=[OWN])
    """What the receiver may do with it: one text, or of a model that was made of several one for each;
    together up to 100,000 characters."""
    pretrained: Pretrained = Field(default=[], exclude_if=lambda told: not told)
    """The files of weights from which its training started, each with its licence; of a model that was made
    of several, those of all. Left out: none, it started from random weights."""
    gained: list[ClassName] = Field(default=[], max_length=1000, exclude_if=lambda told: not told)
    """The classes that it gained in a transfer, by name. Left out: none, it was trained for all of them."""
    made_of: MadeOf = Field(default=[], exclude_if=lambda told: not told)
    """The responses that it was made of, from which it follows where it may go. Left out: of none."""
    intended_use: str = Field(default="research; not a medical device", max_length=1000)
    """What it is for."""

    @field_validator("licence", mode="before")
    @classmethod
    def _as_its_format_has_it(cls, licence: Any, info: ValidationInfo) -> Any:
        kind, told = _LICENCE[info.data.get("format", "clinical-qkt/model/2")]
        if isinstance(licence, str | list) and not isinstance(licence, kind):
            raise ValueError(f"a card of this format has {told}")
        return licence

    @model_validator(mode="after")
    def _looks_of_its_images(self) -> Card:
        if self.looks is None:
            return self
        if obstacle := self.looks.obstacle(self.input):
            raise ValueError(f"looks: {obstacle}")
        if other := next((c for c in self.looks.labels if c not in self.label_space), None):
            raise ValueError(f"looks: '{other.name}' is none of the model's classes")
        return self

    @model_validator(mode="after")
    def _gained_of_its_classes(self) -> Card:
        names = [c.name for c in self.label_space]
        if other := next((name for name in self.gained if name not in names), None):
            raise ValueError(f"gained: '{other[:100]}' is none of the model's classes")
        if len(set(self.gained)) < len(self.gained) or len(self.gained) == len(names):
            raise ValueError("gained: a class stands there twice, or no class was known before")
        return self

    @property
    def labels(self) -> LabelSpace:
        return LabelSpace(self.label_space, where=f"card of {self.site}: label_space")
