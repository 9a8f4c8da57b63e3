"""``clinical-qkt worklist-result``: what a filled list says of the model on the whole archive."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Literal

from pydantic import Field

from clinical_qkt.core.errors import InputError
from clinical_qkt.core.files import sha256
from clinical_qkt.core.values import Written
from clinical_qkt.core.version import __version__
from clinical_qkt.worklist import filled, words
from clinical_qkt.worklist.estimates import Counted, Estimate, Figures, figures
from clinical_qkt.worklist.listing import TABLE, Worklist, read_list

RESULT = "worklist-result.json"
SCHEMA: Literal["clinical-qkt/worklist-result/1"] = "clinical-qkt/worklist-result/1"


class Share(Written):
    """An estimated share of the archive, 0 to 1.

    Attributes:
        value: None where nothing was found that it is a share of.
        ci95: lowest and highest.
    """

    value: float | None
    ci95: list[float]


class OfClass(Written):
    """The figures of one queried class over the usable images of the archive; see ``estimates.Figures``."""

    called: int
    """Images of the archive that the model calls so."""
    labelled: int
    """Images of the list that a person calls so."""
    recall: Share
    false_alarms: Share
    prevalence: Share
    precision: Share
    unusable: Share


class Result(Written):
    """``worklist-result.json``.

    Attributes:
        images, labels: of the archive, and of these the labelled ones.
        answers: how often each word was written.
        classes: by queried class.
        list_seal, labels_sha256, weights_sha256: of what it was worked out from.
    """

    format: Literal["clinical-qkt/worklist-result/1"] = Field(default=SCHEMA, alias="schema")
    version: str
    created: str
    site: str
    drawn: str
    images: int
    labels: int
    left_out: dict[str, int]
    answers: dict[str, int]
    classes: dict[str, OfClass]
    list_seal: str
    labels_sha256: str
    weights_sha256: str


def read_result(folder: Path, images: Path, table: Path | None, weights_sha256: str) -> Result:
    """Check a filled list against what was drawn, and work out its figures.

    Args:
        folder: that ``worklist`` wrote.
        images: the archive's folder.
        table: the filled table; the one in the folder if None.
        weights_sha256: of the model that is judged.

    Raises:
        InputError: the list, its labels, its images or the model are not those of the list.
    """
    listed = read_list(folder)
    if listed.weights_sha256 != weights_sha256:
        raise InputError(
            "is not the one that the list was drawn for, so its figures would be another model's",
            where="the model",
            fix="name that model with --model FOLDER, or draw a new list with `clinical-qkt worklist`",
        )
    path = table or folder / TABLE
    labels = filled.read_labels(path, listed)
    filled.require_images(images, listed)
    return Result(
        version=__version__,
        created=datetime.date.today().isoformat(),
        site=listed.site,
        drawn=listed.created,
        images=listed.images,
        labels=len(listed.rows),
        left_out=listed.left_out,
        answers=filled.counts(labels),
        classes={name: _of_class(name, listed, labels) for name in listed.query},
        list_seal=listed.seal,
        labels_sha256=sha256(path),
        weights_sha256=weights_sha256,
    )


def counted(name: str, listed: Worklist, labels: dict[int, str]) -> list[Counted]:
    """The answers of each stratum, for one class."""
    found: list[list[float]] = [[] for _ in listed.parts]
    unusable: list[list[float]] = [[] for _ in listed.parts]
    for row in listed.rows:
        word = labels[row.number]
        if word in (name, words.UNUSABLE):
            (found if word == name else unusable)[row.part].append(row.weight)
    return [
        Counted(part.images, part.drawn, tuple(found[i]), tuple(unusable[i]), part.called == name)
        for i, part in enumerate(listed.parts)
    ]


def _of_class(name: str, listed: Worklist, labels: dict[int, str]) -> OfClass:
    told: Figures = figures(counted(name, listed, labels))
    shares = {key: _share(getattr(told, key)) for key in Figures.__dataclass_fields__}
    return OfClass(
        called=sum(p.images for p in listed.parts if p.called == name),
        labelled=sum(word == name for word in labels.values()),
        **shares,
    )


def _share(estimate: Estimate) -> Share:
    return Share(value=estimate.value, ci95=[estimate.low, estimate.high])
