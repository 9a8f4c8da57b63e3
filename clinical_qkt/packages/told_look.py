"""What a response tells of looks: how the site's images look beside the asker's, and what is left of it.

An exact response tells the two looks, and the residual as a tensor. A private one tells whole numbers, of
which the asker computes the same; they share the response's one guarantee with its statistics.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Annotated

import torch
from pydantic import Field, model_validator
from torch import Tensor

from clinical_qkt.core.values import Sent
from clinical_qkt.data.label_space import ClassLabel, LabelSpace
from clinical_qkt.data.look_map import Look
from clinical_qkt.data.look_shared import distance
from clinical_qkt.packages.looks import FEW
from clinical_qkt.packages.query import Query, QueryCard

WHOLLY = 1e-9
"""By what shares may miss one: they are decimal numbers."""
NEARLY = 0.01
"""By what share a distance that is told may miss what its looks come to."""

Part = Annotated[float, Field(gt=0, lt=1)]
Noised = Annotated[int, Field(ge=-(10**12), le=10**12)]


class Shares(Sent):
    """How the releases of a private response share its guarantee: of one over the noise's variance."""

    coarse: Part
    """Of the first release of the look."""
    middle: Part
    """Of the second, around what the first told."""
    fine: Part
    """Of the third, around what these told."""
    residual: Part | None = None
    """Of what is left of the difference; null: not told, as no class is shared."""
    mean: Part
    """Of the statistics of the queried class."""

    @model_validator(mode="after")
    def _one_guarantee(self) -> Shares:
        if abs(self.coarse + self.middle + self.fine + (self.residual or 0) + self.mean - 1) > WHOLLY:
            raise ValueError("shares do not add up to one")
        return self


class NoisedCounts(Sent):
    """Patients of each release about looks in 256ths, noised; they may be negative."""

    coarse: Noised
    """Of the first release of the look."""
    middle: Noised
    """Of the second."""
    fine: Noised
    """Of the third."""
    residual: Noised | None = None
    """Of what is left of the difference; null if that is not told."""


class ToldLook(Sent):
    """How the images of one response look beside the asker's."""

    shared: list[ClassLabel] = Field(default=[], max_length=1000)
    """The asker's classes, as in the query's ``looks``, that both know, and on which the comparison rests.
    None, and no look either: nothing could be compared. With ``through``, those that a further site knows."""
    through: int | None = Field(default=None, ge=0, lt=20)
    """Of a private response of a site that shares no class with the asker: the place in the query's
    ``others`` of the site with whose looks its images were compared."""
    counts: list[Annotated[int, Field(ge=20, le=10**9)] | None] = Field(default=[], max_length=1000)
    """Of an exact response, images of each of these: rounded down to tens, null for fewer than 20."""
    mapped: bool = False
    """Whether images were brought to the asker's look, since they look otherwise."""
    seen: Look | None = None
    """Of an exact response: how its images look; where no class is shared, how those of the last of the
    further sites look that lie between."""
    wanted: Look | None = None
    """Of an exact response: the asker's look of the same classes."""
    distance: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """Of an exact response: between the two, root mean square over the numbers, in units of their spread
    between the asker's own images of a class; through further sites, of all steps together."""
    unclipped: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """Of an exact response whose features were clipped to the query's radius, since so much was left of the
    difference: what was left before along an axis, in spreads within a class; null: they were not clipped."""
    shares: Shares | None = None
    """Of a private response about shared classes: how its releases share the guarantee."""
    noised_counts: NoisedCounts | None = None
    """Of the same."""

    @model_validator(mode="after")
    def _whole(self) -> ToldLook:
        exact = [self.seen is not None, self.wanted is not None, self.distance is not None]
        private = [self.shares is not None, self.noised_counts is not None]
        if len(set(exact)) > 1 or len(set(private)) > 1 or (exact[0] and private[0]):
            raise ValueError("seen, wanted and distance, or shares and noised_counts")
        if self.unclipped is not None and not (exact[0] and self.has_residual):
            raise ValueError("unclipped: told with what is left of an exact difference, and nowhere else")
        if len(self.counts) != (len(self.shared) if exact[0] else 0):
            raise ValueError("counts: one for each shared class of an exact response")
        if self.shared:
            LabelSpace(self.shared, where="shared")
        if self.through is not None and not private[0]:
            raise ValueError("through: told of private looks, and of nothing else")
        if (private[0] and not self.shared) or (self.shared and not (exact[0] or private[0])):
            raise ValueError("shared: of what is compared, and of nothing else")
        if self.shares and self.noised_counts:
            told = {self.shares.residual is not None, self.noised_counts.residual is not None}
            if told != {self.has_residual}:
                raise ValueError("a residual is told of classes that both know, and of no others")
        elif self.mapped and not exact[0]:
            raise ValueError("mapped: nothing was compared")
        return self

    @property
    def has_residual(self) -> bool:
        """Whether it is told what is left of the difference; privately of images taken for alike, too."""
        private = self.shares is not None
        return (self.mapped or private) and bool(self.shared) and self.through is None

    @property
    def share_of_mean(self) -> float:
        """Of a private response's guarantee, what its statistics spent."""
        return self.shares.mean if self.shares else 1.0

    @property
    def images(self) -> list[int]:
        """Of each shared class, about how many images."""
        return [count or FEW for count in self.counts]


@dataclass(frozen=True, eq=False)
class LookNumbers:
    """The tensors of a told look, as far as there are any.

    Attributes:
        residual: ``(features,)`` of an exact response; ``(private axes + 1,)`` int64 of a private one, whose
            last number tells how far features lay off before they were clipped; of images that were not
            mapped that number alone, ``(1,)``.
        coarse, middle, fine: ``(L,)`` int64.
    """

    residual: Tensor | None = None
    coarse: Tensor | None = None
    middle: Tensor | None = None
    fine: Tensor | None = None

    def tensors(self, position: int) -> dict[str, Tensor]:
        """As they lie beside the card."""
        return {_name(position, what): value for what, value in self._parts() if value is not None}

    @classmethod
    def read(cls, tensors: dict[str, Tensor], position: int) -> LookNumbers:
        """The same again; what is not whole in float64."""
        found = {f.name: tensors.get(_name(position, f.name)) for f in fields(cls)}
        return cls(
            **{k: v.double() if v is not None and v.is_floating_point() else v for k, v in found.items()}
        )

    @classmethod
    def needed(cls, told: ToldLook, query: QueryCard) -> LookNumbers:
        """Their shapes, without memory."""
        if told.shares is None:
            return cls(torch.empty(query.extractor.features, device="meta") if told.has_residual else None)
        assert query.looks is not None
        look = torch.empty(len(query.looks.spread), dtype=torch.int64, device="meta")
        axes = torch.empty(1 + (query.private_axes if told.mapped else 0), dtype=torch.int64, device="meta")
        return cls(axes if told.has_residual else None, look, look, look)

    def _parts(self) -> Iterator[tuple[str, Tensor | None]]:
        return ((f.name, getattr(self, f.name)) for f in fields(self))


def problem(told: ToldLook, query: Query, private: bool) -> str | None:
    """Why this cannot be what a response to a query tells of looks; or None."""
    asked = query.card.looks
    if asked is None:
        return "tells of looks, of which the query tells none"
    if told.through is not None and told.through >= len(query.card.others):
        return "compares looks with a site of which the query does not tell"
    if told.through is None:
        unknown = any(label not in asked.labels for label in told.shared)
    else:
        names = query.card.others_looks[told.through]
        unknown = any(label not in query.card.vocabulary or label.name not in names for label in told.shared)
    if unknown:
        return "compares looks of classes whose looks the query does not tell"
    if told.shared and private != (told.shares is not None):
        return "tells of looks as responses of another kind do"
    if told.seen is None or told.wanted is None or told.distance is None:
        return None
    if private:
        return "tells exact looks in a private response"
    if {len(told.seen), len(told.wanted)} != {len(asked.spread)}:
        return "tells a look of images with other channels"
    seen, wanted = (torch.tensor(x, dtype=torch.float64) for x in (told.seen, told.wanted))
    apart, room = distance(seen, wanted, asked.spreads), NEARLY * (1 + told.distance)
    if told.distance < apart - room or (told.shared and told.distance > apart + room):
        return "tells a distance of looks that is not theirs"
    return None


def _name(position: int, what: str) -> str:
    return f"{position}.residual" if what == "residual" else f"{position}.look.{what}"
