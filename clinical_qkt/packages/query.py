"""The query package: what a student sends to ask for statistics. Data, never code.

A *reference* is a query that names no class: each site answers it for all classes that it has, once for
whoever works with the same extractor, and so nobody has to be asked any more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from clinical_qkt.core.errors import InputError
from clinical_qkt.core.terms import KINDS, Kind
from clinical_qkt.data.inputs import InputContract
from clinical_qkt.data.label_space import ClassLabel, DistinctClasses, LabelSpace
from clinical_qkt.data.look_shared import ClassLook
from clinical_qkt.networks.extractor import MAX_FEATURES, Extractor, ExtractorSpec, describe
from clinical_qkt.networks.spec import reshape_head
from clinical_qkt.packages.card import PackageCard
from clinical_qkt.packages.looks import SentLooks, under, vocabulary
from clinical_qkt.packages.model import filled, require_modest
from clinical_qkt.packages.pretrained import Pretrained
from clinical_qkt.packages.reader import RESEND, Reading
from clinical_qkt.packages.signing import Signed, Trust
from clinical_qkt.packages.writer import CARD, write_package

MEANS = "looks.means"
"""The tensor that lies beside the extractor where looks are told: ``(classes, features)``, in their order."""


MOST_LOOKS = 200
"""Classes of a site whose looks a query tells: an answering site compares each with its own."""


class QueryCard(PackageCard):
    """What a student asks for."""

    TENSORS: ClassVar[str] = "extractor.safetensors"

    format: Literal["clinical-qkt/query/2"] = "clinical-qkt/query/2"
    """What kind of package it is, and the version of this schema."""
    extractor: ExtractorSpec
    """The network and the depths whose outputs are pooled; weights lie beside the card."""
    input: InputContract
    """What the extractor expects of an image."""
    query: DistinctClasses = Field(max_length=100)
    """The classes, with codes where there are any; none in a reference."""
    reference: bool = Field(default=False, exclude_if=lambda is_one: not is_one)
    """Whether this is a reference: each site answers for all classes that it has, and what it answers is for
    every site whose network gives the same features."""
    welcome: list[Kind] = Field(min_length=1, max_length=len(KINDS))
    """The kinds of answer that the student can use; the site decides which it gives."""
    private_axes: int = Field(ge=1, le=MAX_FEATURES)
    """Of so many features, the first ones, a private response is made. The asker sets it, never the number of
    the answering site's patients."""
    radius: float = Field(ge=1e-6, le=1e6, allow_inf_nan=False)
    """To that these features are clipped in a private response if they are longer. The asker sets it, so it
    tells nothing of the answering site's patients."""
    model_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """Of the weights of the student's model when it asked."""
    looks: SentLooks | None = Field(default=None, exclude_if=lambda told: told is None)
    """How the student's training images look, class by class, so that answering sites can bring theirs to the
    same look; beside the extractor lie the mean features of these classes. Null or left out: not told."""
    others: list[SentLooks] = Field(default=[], max_length=20, exclude_if=lambda told: not told)
    """The same of further sites, from their models' cards: for sites that share no class with the student."""
    pretrained: Pretrained = Field(default=[], exclude_if=lambda told: not told)
    """The files of weights from which the network's training started, each with its licence."""
    licence: str = Field(default="to answer this query only", max_length=200)
    """What the receiver may do with it."""

    @cached_property
    def vocabulary(self) -> LabelSpace:
        """The classes that it tells of: whose looks, the queried ones, and those of further sites."""
        own = self.looks.labels if self.looks else []
        return vocabulary([*own, *self.query], self.others)

    @property
    def others_looks(self) -> list[dict[str, ClassLook]]:
        """Further sites' looks, in the order of ``others``, under the names of ``vocabulary``."""
        return [under(self.vocabulary, one) for one in self.others]

    @property
    def whole_radius(self) -> float:
        """The radius for all features: their length grows with the root of their number."""
        return self.radius * (self.extractor.features / self.private_axes) ** 0.5

    @model_validator(mode="after")
    def _asks_for_something(self) -> QueryCard:
        if self.reference == bool(self.query):
            raise ValueError("query: a query names classes, and a reference none")
        if self.reference and self.looks:
            raise ValueError("looks: a reference tells none, since those who will use answers look otherwise")
        return self

    @model_validator(mode="after")
    def _no_more_axes_than_features(self) -> QueryCard:
        if self.private_axes > self.extractor.features:
            raise ValueError("private_axes: more than the extractor has features")
        return self

    @model_validator(mode="after")
    def _looks_of_such_images(self) -> QueryCard:
        if self.looks is None:
            if self.others:
                raise ValueError("others: looks of further sites, and none of the student's")
            return self
        for name, told in [("looks", self.looks), *(("others", one) for one in self.others)]:
            if obstacle := told.obstacle(self.input):
                raise ValueError(f"{name}: {obstacle}")
            if len(told.classes) > MOST_LOOKS:
                raise ValueError(f"{name}: looks of more than {MOST_LOOKS} classes")
        LabelSpace([*self.looks.labels, *self.query], where="looks and query")
        return self


@dataclass
class Query:
    """A query package, ready for use.

    Attributes:
        extractor: on the CPU, its map in float64.
        means: ``(classes, features)`` float64, of the classes whose looks are told; None if none are.
        digest: of the card, which holds the digest of the weights: it names the query.
        signed: what is known of who asks.
    """

    card: QueryCard
    extractor: Extractor
    digest: str
    bytes: int
    signed: Signed = field(default_factory=Signed)
    means: Tensor | None = None

    def for_classes(self, classes: Sequence[ClassLabel]) -> Query:
        """A reference as a query for these classes; a query as it is."""
        if not self.card.reference:
            return self
        return replace(self, card=self.card.model_copy(update={"query": list(classes)}))


def save_query(
    folder: Path,
    extractor: Extractor,
    card: QueryCard,
    means: Tensor | None = None,
    *,
    signing_key: Path | None = None,
    agree: Callable[[Path, QueryCard], None] | None = None,
    record: Iterable[Path] = (),
) -> QueryCard:
    """Write a query package; later stages and the head, on which no feature depends, leave as zeros.

    Args:
        means: ``(classes, features)``, where looks of classes are told.
    """
    bare = Extractor(extractor.spec, reshape_head(extractor.network, {}, 1))
    _blank_unused(bare.eval(), card.input)
    bare.center, bare.projection = extractor.center.float(), extractor.projection.float()
    tensors = bare.state_dict() | ({} if means is None else {MEANS: means.float()})
    return write_package(
        folder, card, tensors, check=_read, signing_key=signing_key, agree=agree, record=record
    )


def _blank_unused(extractor: Extractor, given: InputContract) -> None:
    """Set to zero, in place, every weight that the features do not depend on; found by their gradients."""
    extractor.requires_grad_(True)
    device = next(extractor.network.parameters()).device
    _, pooled = extractor.pooled(torch.zeros(1, given.channels, *given.spatial_size, device=device))
    pooled.sum().backward()
    with torch.no_grad():
        for module in extractor.network.modules():
            weights = list(module.parameters(recurse=False))
            if weights and all(w.grad is None for w in weights):
                for tensor in (*weights, *module.buffers(recurse=False)):
                    tensor.zero_()


def load_query(folder: str | Path, trust: Trust | None = None) -> Query:
    """Load a query package after checking it from the outside in, see ``reader``.

    Args:
        trust: whose packages this site takes; None: signatures are not looked at.

    Raises:
        PackageError: the package is refused; nothing of it is used.
    """
    reading, extractor, state = _read(folder, trust)
    assert reading.card is not None
    means = state.pop(MEANS, None)
    filled(extractor, state).requires_grad_(False)
    digest, means = reading.digests[CARD], None if means is None else means.double()
    return Query(reading.card, extractor.double_map(), digest, reading.bytes, reading.signed, means)


def _read(
    folder: str | Path, trust: Trust | None = None
) -> tuple[Reading[QueryCard], Extractor, dict[str, Tensor]]:
    """A package, its extractor on the "meta" device and its tensors."""
    reading = Reading(folder, QueryCard, trust)
    extractor = reading.build(_extractor)
    state = reading.tensors(extractor.state_dict() | _means(reading.card) if extractor else None)
    assert extractor is not None
    return reading, extractor, state


def _means(card: QueryCard | None) -> dict[str, Tensor]:
    """What lies beside the extractor where looks are told, without memory."""
    if card is None or card.looks is None:
        return {}
    return {MEANS: torch.empty(len(card.looks.classes), card.extractor.features, device="meta")}


def _extractor(card: QueryCard) -> Extractor:
    """The card's extractor, tried on an image as the card asks for them: all on the "meta" device.

    Raises:
        InputError: it cannot take such images, needs too much memory or pools another number.
    """
    spec, given = card.extractor, card.input
    extractor = spec.build(1).eval()
    require_modest(extractor.network, given.channels, given.spatial_size)
    pooled = describe(extractor.network, spec.network, spec.depths, given).pooled
    if pooled != spec.pooled:
        raise InputError(
            f"the extractor pools {pooled} numbers, {spec.pooled} are declared", where="extractor", fix=RESEND
        )
    return extractor
