"""The file that keeps a model's gate, beside the model's folder.

It stays at the site: it describes the site's own pictures by a few numbers, and a package that leaves takes
nothing of it along. An export does so if it is asked to, and then stays at the site, too.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, Field, ValidationError

from clinical_qkt.core.errors import InputError
from clinical_qkt.core.files import write_json
from clinical_qkt.core.values import Strict
from clinical_qkt.evidence.gate import Door, Score
from clinical_qkt.evidence.pictures import Pictures

FILE = "gate.json"


class GateFile(Strict):
    """``gate.json``: the gate of one model."""

    model_config = ConfigDict(serialize_by_alias=True)

    schema_: Literal["clinical-qkt/gate/1"] = Field(default="clinical-qkt/gate/1", alias="schema")
    weights_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    score: Score
    threshold: float
    pictures: Pictures | None

    @property
    def door(self) -> Door:
        return Door(self.score, self.threshold, self.pictures)


def write_gate(folder: Path, door: Door, weights_sha256: str) -> Path:
    """Write ``gate.json`` beside a model.

    Args:
        folder: the model's; the file lies in the folder around it, since a model's own takes nothing else.
        weights_sha256: on the model's card.
    """
    content = GateFile(
        weights_sha256=weights_sha256, score=door.score, threshold=door.threshold, pictures=door.pictures
    )
    write_json(folder.parent / FILE, content.model_dump(mode="json"))
    return folder.parent / FILE


def read_gate(folder: Path, weights_sha256: str) -> Door | None:
    """The gate of the model in a folder; None if it has none.

    Raises:
        InputError: the file is damaged, or is that of another model.
    """
    path = folder.parent / FILE
    if not path.exists():
        return None
    try:
        found = GateFile.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        raise InputError(
            "cannot be read, so that 'none of these' cannot be told",
            where=str(path),
            fix="run `transfer` again, or delete the file to go without",
        ) from None
    if found.weights_sha256 != weights_sha256:
        raise InputError(
            "belongs to another model: its weights have another digest",
            where=str(path),
            fix="run `transfer` again, or delete the file to go without",
        )
    return found.door
