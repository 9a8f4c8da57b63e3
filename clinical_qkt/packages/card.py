"""Cards: what a package holds, as data that a schema checks; and the card of a model."""

from __future__ import annotations

import datetime
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from clinical_qkt import __version__
from clinical_qkt.data.inputs import InputContract
from clinical_qkt.labels import DistinctClasses, LabelSpace
from clinical_qkt.packages.committee import CommitteeSpec
from clinical_qkt.packages.gaussian import GaussianSpec, kind_of_network
from clinical_qkt.packages.networks import NetworkSpec

PSEUDONYM = r"^[A-Za-z0-9][A-Za-z0-9_.\-]{0,63}$"


AnyNetwork = Annotated[
    Annotated[NetworkSpec, Tag("network")]
    | Annotated[GaussianSpec, Tag("gaussian")]
    | Annotated[CommitteeSpec, Tag("committee")],
    Discriminator(kind_of_network),
]
"""One network, one with a head made of statistics, or a committee of such."""


class KnowledgeMask(BaseModel):
    """What noise probes said, class by class; publishing it is the sender's choice."""

    model_config = ConfigDict(extra="forbid")
    scores: dict[str, float]
    threshold: float


class PackageCard(BaseModel):
    """What every package's card says.

    Attributes:
        site: a pseudonym of the sender, never a name that identifies patients.
        task: what is classified, e.g. ``blood_cell_classification``.
        weights_sha256: of the tensors beside the card.
        generated_data: made from generated images, not from patients.
    """

    model_config = ConfigDict(extra="forbid")
    TENSORS: ClassVar[str]

    software: str = f"clinical-qkt {__version__}"
    created: str = Field(default_factory=lambda: datetime.date.today().isoformat(), max_length=10)
    site: str = Field(pattern=PSEUDONYM)
    task: str = Field(pattern=PSEUDONYM)
    weights_sha256: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")
    generated_data: bool = False

    def facts(self) -> dict[str, Any]:
        """The card as plain JSON data."""
        return self.model_dump(mode="json")


class Card(PackageCard):
    """What accompanies a model's weights.

    Attributes:
        label_space: one class a row of the head, in its order.
        network, head, input: how to build it, where its head is, what it expects.
        recall: on the sender's own test images, by class, rounded to whole percents.
        knowledge_mask: optional.
    """

    TENSORS: ClassVar[str] = "model.safetensors"

    format: Literal["clinical-qkt/model/1"] = "clinical-qkt/model/1"
    label_space: DistinctClasses = Field(min_length=1, max_length=1000)
    network: AnyNetwork
    head: str = Field(max_length=200)
    input: InputContract
    recall: dict[str, float] = {}
    knowledge_mask: KnowledgeMask | None = None
    licence: str = Field(default="all rights reserved by the sending site", max_length=20_000)
    intended_use: str = Field(default="research; not a medical device", max_length=1000)

    @property
    def labels(self) -> LabelSpace:
        return LabelSpace(self.label_space, where=f"card of {self.site}: label_space")
