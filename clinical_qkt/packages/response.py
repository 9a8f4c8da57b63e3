"""The answer package: class statistics, or the reasons why there are none."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

import torch
from pydantic import ConfigDict, Field, model_validator
from torch import Tensor

from clinical_qkt.core.errors import InputError, PackageError
from clinical_qkt.core.terms import KEPT, Onward
from clinical_qkt.core.terms import Unit as Unit
from clinical_qkt.core.values import Sent
from clinical_qkt.data.label_space import ClassLabel, LabelSpace
from clinical_qkt.packages.card import PackageCard
from clinical_qkt.packages.query import Query, QueryCard
from clinical_qkt.packages.reader import Reading
from clinical_qkt.packages.signing import Signed, Trust
from clinical_qkt.packages.told_look import LookNumbers, ToldLook, problem
from clinical_qkt.packages.writer import CARD, write_package
from clinical_qkt.privacy.mechanisms import COUNT_STEPS, Guarantee, Release
from clinical_qkt.statistics.class_statistics import ClassStatistics, Kind, PrivateSum

FEW = 10
"""What a number of images that is not told, as it is below 20, counts as when answers are pooled."""


class ClassResponse(Sent):
    """What a site says of one queried class."""

    model_config = ConfigDict(allow_inf_nan=False)

    label: ClassLabel
    """As in the query."""
    declined: str | None = Field(default=None, max_length=300)
    """Why there is no answer; null if there is one."""
    kind: Kind | None = None
    """What the tensors hold; null if there is no answer."""
    count: int | None = Field(default=None, ge=1, le=10**9)
    """Images of an exact response, rounded down to tens; null for fewer than 20, and where there is none."""
    noised_count: int | None = Field(default=None, ge=-(10**12), le=10**12)
    """Patients of a private response in 256ths, noised; may be negative."""
    epsilon: float | None = Field(default=None, gt=0)
    """Of the guarantee of a private response."""
    delta: float | None = Field(default=None, gt=0, lt=1)
    """Of the same."""
    unit: Unit | None = None
    """Whom the guarantee is for."""
    look: ToldLook | None = Field(default=None, exclude_if=lambda told: told is None)
    """How the images look beside the asker's. Null or left out: not told."""

    @model_validator(mode="after")
    def _whole(self) -> ClassResponse:
        if (self.declined is None) != (self.kind is not None):
            raise ValueError("either a kind of answer or a reason for none")
        private = [self.noised_count, self.epsilon, self.delta, self.unit]
        if self.kind == "private_mean" and None in private:
            raise ValueError("noised_count, epsilon, delta, unit: a private response has them all")
        if self.kind != "private_mean" and private != [None] * 4:
            raise ValueError("noised_count, epsilon, delta, unit: only a private response has them")
        if self.count is not None and self.kind in (None, "private_mean"):
            raise ValueError("count: only an exact response has one")
        if self.look is not None and self.kind is None:
            raise ValueError("look: only a response has one")
        return self

    @property
    def patients(self) -> int | None:
        """About how many images, or patients of a private response; None if there is no answer."""
        if self.noised_count is None:
            return self.count
        return max(0, round(self.noised_count / COUNT_STEPS))


class ResponseCard(PackageCard):
    """What a site answers."""

    TENSORS: ClassVar[str] = "statistics.safetensors"

    format: Literal["clinical-qkt/answer/2"] = "clinical-qkt/answer/2"
    """What kind of package it is, and the version of this schema."""
    query_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """Of the card of the query that is answered."""
    answers: list[ClassResponse] = Field(min_length=1, max_length=100)
    """One for each queried class, in its order; to a reference one for each class of the site."""
    onward: Onward = Field(default=KEPT, exclude_if=lambda told: told == KEPT)
    """Where a model may go that was made of exact numbers in it: to nobody but the asker (`student_only`, or
    left out), or to other hospitals, too, which measure it on their images (`assessment`)."""
    licence: str = Field(default="all rights reserved by the sending site", max_length=200)
    """What the receiver may do with it."""


@dataclass
class Response:
    """An answer package, ready for use.

    Attributes:
        given: the classes that were answered for, by position.
        looks: what lies beside the card of those of them that tell of looks.
    """

    card: ResponseCard
    given: dict[int, ClassStatistics | PrivateSum]
    bytes: int
    signed: Signed = field(default_factory=Signed)
    looks: dict[int, LookNumbers] = field(default_factory=dict)

    @property
    def site(self) -> str:
        return self.card.site


def save_response(
    folder: Path,
    card: ResponseCard,
    given: Sequence[ClassStatistics | Release | None],
    looks: Mapping[int, LookNumbers] | None = None,
    *,
    query: Query | None = None,
    signing_key: Path | None = None,
    agree: Callable[[Path, ResponseCard], None] | None = None,
) -> ResponseCard:
    """Write a response package; see ``writer.write_package``.

    Args:
        given: the statistics, or of a private response the whole numbers, whose count is on the card; None
            where the card declines.
        looks: by position, where the card tells of looks.
        query: that is answered: with it the finished package is read as the asker will read it.
    """
    tensors: dict[str, Tensor] = {}
    for i, part in enumerate(given):
        if isinstance(part, Release):
            tensors[f"{i}.total"] = torch.tensor(part.total, dtype=torch.int64)
        elif part is not None:
            tensors[f"{i}.mean"] = part.mean.float()
            if part.covariance is not None:
                tensors[f"{i}.covariance"] = part.covariance.float()
    for i, numbers in (looks or {}).items():
        tensors |= numbers.tensors(i)

    def check(part: Path) -> None:
        if query:
            load_response(part, query)
        else:
            Reading(part, ResponseCard).tensors({k: v.to("meta") for k, v in tensors.items()})

    return write_package(folder, card, tensors, check=check, signing_key=signing_key, agree=agree)


def load_response(folder: str | Path, query: Query, trust: Trust | None = None) -> Response:
    """Load an answer to one's own query after checking it from the outside in, see ``reader``.

    Args:
        trust: whose packages this site takes; None: signatures are not looked at.

    Raises:
        PackageError: the package is refused; nothing of it is used.
    """
    reading = Reading(folder, ResponseCard, trust)
    needed = None
    if reading.card and _check_fit(reading, reading.card, query):
        needed = _tensors(reading.card, query.card)
    tensors = reading.tensors(needed)
    assert reading.card is not None
    given: dict[int, ClassStatistics | PrivateSum] = {}
    looks: dict[int, LookNumbers] = {}
    for i, told in enumerate(reading.card.answers):
        if told.look:
            looks[i] = LookNumbers.read(tensors, i)
        if told.kind == "private_mean":
            given[i] = _private(told, tensors[f"{i}.total"], query.card.radius)
        elif told.kind:
            spread = tensors.get(f"{i}.covariance")
            if spread is not None:
                spread, doubt = _symmetric(spread.double())
                if doubt:
                    reading.problem(ResponseCard.TENSORS, f"tensor '{i}.covariance' {doubt}")
            given[i] = ClassStatistics(told.count or FEW, tensors[f"{i}.mean"].double(), spread)
    reading.refuse_if_wrong()
    return Response(reading.card, given, reading.bytes, reading.signed, looks)


def once_each(folders: Sequence[Path], load: Callable[[Path], Response]) -> list[Response]:
    """One response of each site.

    Raises:
        PackageError: a response is refused, or two come from the same site.
    """
    parts: dict[str, Response] = {}
    for folder in folders:
        part = load(folder)
        if part.site in parts:
            raise PackageError(
                f"a second response of the site '{part.site}'",
                where=str(folder),
                fix="list each site's response once under 'responses' or 'published'",
            )
        parts[part.site] = part
    return list(parts.values())


def _check_fit(reading: Reading[ResponseCard], card: ResponseCard, query: Query) -> bool:
    """Note what of an answer does not fit the query that it should be to; whether tensors can be named."""
    if card.query_sha256 != query.digest:
        reading.problem(
            CARD,
            "answers another query than the one that this site sent last",
            "send the query package that lies in 'query_dir' now, and ask for an answer to that",
        )
        return not any(a.look for a in card.answers)
    if query.card.reference:
        try:
            query = query.for_classes(LabelSpace([a.label for a in card.answers], where="answers"))
        except InputError as e:
            reading.problem(CARD, f"answers for classes that cannot be told apart: {e.problem}")
    elif [a.label for a in card.answers] != list(query.card.query):
        reading.problem(CARD, "answers for other classes than were asked for")
    for kind in sorted({a.kind for a in card.answers if a.kind and a.kind not in query.card.welcome}):
        reading.problem(CARD, f"'{kind}' was not welcome")
    wrong = [
        f"the answer for '{a.label.name}' {doubt}"
        for a in card.answers
        if a.look and (doubt := problem(a.look, query, a.kind == "private_mean"))
    ]
    for what in wrong:
        reading.problem(CARD, what)
    return not wrong


def _private(told: ClassResponse, total: Tensor, radius: float) -> PrivateSum:
    assert told.noised_count is not None and told.epsilon is not None and told.delta is not None
    spent = Guarantee(told.epsilon, told.delta).part(told.look.share_of_mean if told.look else 1.0)
    return Release(total.tolist(), told.noised_count).read(radius, spent)


def _tensors(card: ResponseCard, query: QueryCard) -> dict[str, Tensor]:
    """What has to lie beside the card: shapes without memory."""
    width, found = query.extractor.features, {}
    for i, told in enumerate(card.answers):
        if told.kind == "private_mean":
            found[f"{i}.total"] = torch.empty([query.private_axes], dtype=torch.int64, device="meta")
        elif told.kind:
            found[f"{i}.mean"] = torch.empty([width], device="meta")
        if told.kind in ("covariance", "diagonal"):
            shape = [width] * (2 if told.kind == "covariance" else 1)
            found[f"{i}.covariance"] = torch.empty(shape, device="meta")
        if told.look:
            found |= LookNumbers.needed(told.look, query).tensors(i)
    return found


def _symmetric(spread: Tensor) -> tuple[Tensor, str | None]:
    """A covariance made exactly symmetric, and why it cannot be one: not symmetric, negative, all zero."""
    size = float(spread.abs().max())
    values = spread
    if spread.ndim == 2:
        if float((spread - spread.T).abs().max()) > 1e-3 * size:
            return spread, "is not symmetric"
        spread = (spread + spread.T) / 2
        values = torch.linalg.eigvalsh(spread)
    if size == 0 or float(values.min()) < -1e-4 * size:
        return spread, "is no covariance: its smallest variance is negative"
    return spread, None
