"""The fields of a datalist and what each may hold; see ``datalist`` for their meaning."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, model_validator

from clinical_qkt.data.class_names import shown
from clinical_qkt.data.groups import read_groups, values_problem
from clinical_qkt.data.headers import PADDING
from clinical_qkt.data.leaks import SECTION_NAMES
from clinical_qkt.data.words import is_missing, patient_like

Section = Literal["training", "validation", "test"]
SECTIONS: tuple[Section, ...] = ("training", "validation", "test")


def _whole(value: Any) -> Any:
    """A number as JSON means it: 1.0 is 1. What is neither a number nor text is refused."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"{json.dumps(value)[:20]} is neither text nor a whole number")
    if isinstance(value, float) and not value.is_integer():
        raise ValueError(f"{value} is not a whole number")
    if isinstance(value, str) and is_missing(value):
        raise ValueError(f"{shown(value)} is a mark for a missing value")
    return value if isinstance(value, str) else int(value)


def _patient(value: Any) -> str | None:
    if value is None:
        return None
    name = str(_whole(value)).strip(PADDING)
    if not name:
        raise ValueError("is empty; leave it out where no patient is known")
    return name


def _path(value: Any) -> Any:
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise ValueError("is no path of a file")
    return value


class Entry(BaseModel):
    """One image, its label and, where answers protect patients, a name for the patient that means nothing.

    ``groups`` are those that results are told apart by, such as ``{"sex": "F"}``; they stay at the site.
    """

    model_config = ConfigDict(extra="allow")
    image: Annotated[Path, BeforeValidator(_path)]
    label: Annotated[str | int, BeforeValidator(_whole)]
    patient: Annotated[str | None, BeforeValidator(_patient)] = None
    groups: Annotated[dict[str, str], BeforeValidator(read_groups)] = {}

    @model_validator(mode="after")
    def _no_other_patient(self) -> Entry:
        if self.patient is None and (other := patient_like(self.model_extra or {})):
            raise ValueError(f"the key {shown(other)} is not read; call it 'patient', or delete it")
        return self


class Datalist(BaseModel):
    """The file's content, see the module's docstring.

    ``generated`` marks images that show no patient; ``left_out`` names images, with the reason, that could
    not be read when the list was made.
    """

    model_config = ConfigDict(extra="allow")
    name: str = ""
    generated: bool = False
    classes: list[Any] | None = None
    left_out: list[tuple[str, str]] = []
    training: list[Entry] = []
    validation: list[Entry] = []
    test: list[Entry] = []

    @model_validator(mode="after")
    def _no_other_list(self) -> Datalist:
        for name, value in (self.model_extra or {}).items():
            images = isinstance(value, list) and any(isinstance(v, dict) and "image" in v for v in value)
            if images or name.lower() in SECTION_NAMES:
                raise ValueError(f"the list {shown(name)} is no section; there are {', '.join(SECTIONS)}")
        return self

    @model_validator(mode="after")
    def _few_groups(self) -> Datalist:
        told: dict[str, set[str]] = {}
        for entry in (*self.training, *self.validation, *self.test):
            for column, value in entry.groups.items():
                told.setdefault(column, set()).add(value)
        for column, values in told.items():
            if wrong := values_problem(column, values):
                raise ValueError(f"groups: {wrong[0]}; {wrong[1]}")
        return self
