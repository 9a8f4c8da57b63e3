"""The answer package: class statistics, or the reasons why there are none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor

from clinical_qkt.errors import PackageError
from clinical_qkt.labels import ClassLabel, LabelSpace
from clinical_qkt.packages.card import PackageCard
from clinical_qkt.packages.folder import CARD, RESEND, package_bytes, read_card, read_tensors, write_package
from clinical_qkt.packages.query import Query
from clinical_qkt.statistics import ClassStatistics, Kind

Unit = Literal["patient", "image"]


class ClassAnswer(BaseModel):
    """What a site says of one queried class.

    Attributes:
        label: as in the query.
        declined: why there is no answer; None if there is one.
        kind: what the tensors hold.
        count: images, rounded to tens; patients in a private answer, noised.
        noise: standard deviation of what was added to each number of the mean.
        epsilon, delta, unit: the guarantee of a private answer, and whom it is for.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    label: ClassLabel
    declined: str | None = Field(default=None, max_length=300)
    kind: Kind | None = None
    count: int = Field(default=0, ge=0, le=10**9)
    noise: float = Field(default=0.0, ge=0)
    epsilon: float | None = Field(default=None, gt=0)
    delta: float | None = Field(default=None, gt=0, lt=1)
    unit: Unit | None = None

    @model_validator(mode="after")
    def _whole(self) -> ClassAnswer:
        if (self.declined is None) != (self.kind is not None):
            raise ValueError("either a kind of answer or a reason for none")
        if self.kind is not None and self.count < 1:
            raise ValueError("count: an answer needs at least one")
        if (self.kind == "private_mean") != (self.epsilon is not None and self.noise > 0):
            raise ValueError("epsilon, noise: a private answer has both, another neither")
        return self


class AnswerCard(PackageCard):
    """Attributes:
    query_sha256: of the card of the query that is answered.
    answers: one for each queried class, in its order.
    """

    TENSORS: ClassVar[str] = "statistics.safetensors"

    format: Literal["clinical-qkt/answer/1"] = "clinical-qkt/answer/1"
    query_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    answers: list[ClassAnswer] = Field(min_length=1, max_length=100)
    licence: str = Field(default="all rights reserved by the sending site", max_length=200)


@dataclass
class Answer:
    """An answer package, ready for use; ``given`` holds the classes that were answered for, by position."""

    card: AnswerCard
    given: dict[int, ClassStatistics]
    bytes: int

    @property
    def site(self) -> str:
        return self.card.site


def save_answer(folder: Path, card: AnswerCard, given: Sequence[ClassStatistics | None]) -> AnswerCard:
    """Write an answer package.

    Args:
        given: the statistics, None where the card declines.
    """
    tensors: dict[str, Tensor] = {}
    for i, part in enumerate(given):
        if part is not None:
            tensors[f"{i}.mean"] = part.mean.float()
            if part.covariance is not None:
                tensors[f"{i}.covariance"] = part.covariance.float()
    return write_package(folder, card, tensors)


def load_answer(folder: str | Path, query: Query) -> Answer:
    """Load an answer to one's own query after checking it from the outside in.

    Raises:
        PackageError: the package is refused; nothing of it is used.
    """
    folder = Path(folder)
    card = read_card(folder, AnswerCard)
    at, width = str(folder / CARD), query.card.extractor.features
    if card.query_sha256 != query.digest:
        raise PackageError(
            "answers another query than the one that this site sent last",
            where=at,
            fix="send the query package that lies in 'query_dir' now, and ask for an answer to that",
        )
    asked, told = (LabelSpace([*labels], where=at) for labels in (query.card.query, _labels(card)))
    if told != asked:
        raise PackageError("answers for other classes than were asked for", where=at, fix=RESEND)
    unwelcome = [a.kind for a in card.answers if a.kind and a.kind not in query.card.welcome]
    if unwelcome:
        raise PackageError(f"'{unwelcome[0]}' was not welcome", where=at, fix=RESEND)
    shapes: dict[str, list[int]] = {}
    for i, told_of in enumerate(card.answers):
        if told_of.kind:
            shapes[f"{i}.mean"] = [width]
        if told_of.kind in ("covariance", "diagonal"):
            shapes[f"{i}.covariance"] = [width] * (2 if told_of.kind == "covariance" else 1)
    tensors = read_tensors(folder / card.TENSORS, shapes)
    given = {}
    for i, told_of in enumerate(card.answers):
        if told_of.kind:
            spread = tensors.get(f"{i}.covariance")
            if spread is not None:
                spread = _checked(spread.double(), f"tensor '{i}.covariance'", folder)
            given[i] = ClassStatistics(told_of.count, tensors[f"{i}.mean"].double(), spread, told_of.noise)
    return Answer(card, given, package_bytes(folder))


def _labels(card: AnswerCard) -> list[ClassLabel]:
    return [a.label for a in card.answers]


def _checked(spread: Tensor, what: str, folder: Path) -> Tensor:
    """A covariance that can be one: symmetric, not negative anywhere, not all zero."""
    at = str(folder / AnswerCard.TENSORS)
    size = float(spread.abs().max())
    if spread.ndim == 2:
        if float((spread - spread.T).abs().max()) > 1e-3 * size:
            raise PackageError(f"{what} is not symmetric", where=at, fix=RESEND)
        spread = (spread + spread.T) / 2
        values = torch.linalg.eigvalsh(spread)
    else:
        values = spread
    if size == 0 or float(values.min()) < -1e-4 * size:
        raise PackageError(
            f"{what} is no covariance: its smallest variance is negative", where=at, fix=RESEND
        )
    return spread
