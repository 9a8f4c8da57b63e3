"""The list of images to label: ``worklist.json``, which is sealed, and ``worklist.csv``, which is filled in.

Whoever labels shall not know what the model says: the table has numbers, files and an empty column, in an
order that tells nothing. The JSON beside it holds how each image was drawn, and digests.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from clinical_qkt.core.errors import InputError
from clinical_qkt.core.files import sha256, write_json, write_whole
from clinical_qkt.worklist.archive import Archive
from clinical_qkt.worklist.sampling import Stratum, drawn

LIST, TABLE, PAGE = "worklist.json", "worklist.csv", "worklist.html"
COLUMNS = ("number", "file", "label")
REDO = "draw a new list with `clinical-qkt worklist`"


class Row(BaseModel):
    """One image of the list.

    Attributes:
        number: in the table and on the page, from 1.
        file: its path in the archive.
        sha256: of the file.
        part: position of the stratum that it was drawn from.
        weight: 1 divided by the probability with which it was drawn: how many images it stands for.
    """

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
    number: int
    file: str
    sha256: str
    part: int
    weight: float


class Part(BaseModel):
    """One stratum of the archive.

    Attributes:
        called: the queried class that the model calls its images; None for those that it calls none.
        images: of the archive.
        drawn: of these, on the list.
    """

    model_config = ConfigDict(extra="forbid", strict=True)
    called: str | None
    images: int
    drawn: int


class Worklist(BaseModel):
    """``worklist.json``.

    Attributes:
        classes: that the model knows, as the site's YAML or the model's card spells them.
        query: of these, the queried ones.
        weights_sha256: of the model.
        images: of the archive that could have been drawn.
        left_out: images of the archive that could not, by reason.
        seal: a digest of all the rest.
    """

    model_config = ConfigDict(extra="forbid", strict=True)
    format: Literal["clinical-qkt/worklist/1"] = Field(default="clinical-qkt/worklist/1", alias="schema")
    version: str
    created: str
    site: str
    classes: list[dict[str, Any]]
    query: list[str]
    weights_sha256: str
    seed: int
    images: int
    left_out: dict[str, int]
    parts: list[Part]
    rows: list[Row]
    seal: str = ""

    def sealed(self) -> str:
        """The digest of everything but the seal."""
        content = self.model_dump(by_alias=True, exclude={"seal"})
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def rows_of(archive: Archive, parts: list[Stratum], seed: int) -> list[Row]:
    """Draw the images, and number them in an order that tells nothing."""
    rng = np.random.default_rng([seed, 19])
    positions, weights, of = [], [], []
    for number, part in enumerate(parts):
        chosen, stands_for = drawn(part, rng)
        positions.append(chosen)
        weights.append(stands_for)
        of.append(np.full(len(chosen), number))
    order = rng.permutation(sum(map(len, positions)))
    flat: list[NDArray[Any]] = [np.concatenate(column)[order] for column in (positions, weights, of)]
    return [
        Row(
            number=number,
            file=archive.file(int(position)),
            sha256=sha256(archive.paths[int(position)]),
            part=int(part),
            weight=float(weight),
        )
        for number, (position, weight, part) in enumerate(zip(*flat, strict=True), start=1)
    ]


def write_list(folder: Path, listed: Worklist) -> None:
    """Write the sealed list and the table to fill in."""
    sealed = listed.model_copy(update={"seal": listed.sealed()})
    write_json(folder / LIST, sealed.model_dump(by_alias=True), private=True)
    text = io.StringIO(newline="")
    lines = csv.writer(text)
    lines.writerow(COLUMNS)
    # A spreadsheet would make a number or a date of some names, and a formula of others.
    lines.writerows([row.number, f"./{row.file}", ""] for row in listed.rows)
    content = text.getvalue().encode("utf-8-sig")
    write_whole(folder / TABLE, lambda part: part.write_bytes(content), private=True)


def read_list(folder: Path) -> Worklist:
    """The sealed list of a folder.

    Raises:
        InputError: there is none, it is none, or it was changed.
    """
    path = folder / LIST
    try:
        listed = Worklist.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except OSError as e:
        fix = "name the folder that `clinical-qkt worklist` wrote"
        raise InputError(f"cannot be read ({e.strerror})", where=str(path), fix=fix) from None
    except (ValidationError, ValueError):
        raise InputError("is no list of this software, or damaged", where=str(path), fix=REDO) from None
    if listed.seal != listed.sealed():
        raise InputError("was changed since it was drawn", where=str(path), fix=REDO)
    return listed
