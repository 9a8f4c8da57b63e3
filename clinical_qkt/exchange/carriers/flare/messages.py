"""What the relay and a site tell each other in a sweep: an order to each site, a report back, round by round.

Everything is bounded: each side takes the other for hostile. Nothing here needs FLARE.
"""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple, TypeVar

from pydantic import Field, ValidationError

from clinical_qkt.core.terms import PSEUDONYM
from clinical_qkt.core.values import Sent

PIECE = 4 * 1024 * 1024
"""Bytes of parcels that one site gets or gives in a round, at most."""
MOST = 4_096
"""Parcels that a site tells of in a sweep, or that one message names."""
LARGEST = 1 << 36
"""Bytes of a parcel, whatever a site allows."""
TASK, CONTENT = "sweep", "parcels"
"""The only task there is, and the key of a task's data under which an order or a report stands."""

Name = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", strict=True)]
Pseudonym = Annotated[str, Field(pattern=PSEUDONYM, strict=True)]
Size = Annotated[int, Field(ge=1, le=LARGEST, strict=True)]
Offset = Annotated[int, Field(ge=0, le=LARGEST, strict=True)]


class Way(NamedTuple):
    """Which parcel, from whom, to whom."""

    sender: str
    receiver: str
    name: str


class Parcel(Sent):
    """Which parcel, from whom, to whom."""

    sender: Pseudonym
    receiver: Pseudonym
    name: Name

    @property
    def way(self) -> Way:
        return Way(self.sender, self.receiver, self.name)


class Offer(Parcel):
    """A parcel that lies at its sender's."""

    size: Size


class Want(Parcel):
    """The next piece of it that the relay asks for."""

    offset: Offset
    length: int = Field(ge=1, le=PIECE, strict=True)


class Piece(Parcel):
    """Some of its bytes."""

    size: Size
    """Of the whole parcel."""
    offset: Offset
    data: bytes = Field(min_length=1, max_length=PIECE, strict=True)

    @property
    def end(self) -> int:
        """Where the next piece begins."""
        return self.offset + len(self.data)


class Order(Sent):
    """What the relay asks of a site in a round."""

    tell: bool = Field(strict=True)
    """What lies there for others."""
    take: list[Piece] = Field(default=[], max_length=MOST)
    """Pieces for this site."""
    want: list[Want] = Field(default=[], max_length=MOST)
    """Pieces that it should give."""
    arrived: list[Parcel] = Field(default=[], max_length=MOST)
    """Its parcels that lie whole at their receivers'."""


class Report(Sent):
    """What a site says in return."""

    offers: list[Offer] = Field(default=[], max_length=MOST)
    pieces: list[Piece] = Field(default=[], max_length=MOST)
    kept: list[Parcel] = Field(default=[], max_length=MOST)
    """Parcels for this site that lie whole here."""
    refused: list[Parcel] = Field(default=[], max_length=MOST)
    """Parcels that it does not take: too large, no room, or not what they say."""


Message = TypeVar("Message", Order, Report)


def written(message: Order | Report) -> dict[str, Any]:
    """As plain values, for FLARE's serialisation."""
    return message.model_dump()


def read(kind: type[Message], values: Any) -> Message | None:
    """What the other side sent; None if it is not of that form."""
    try:
        return kind.model_validate(values)
    except ValidationError:
        return None
