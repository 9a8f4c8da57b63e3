"""How a value that a person wrote is read: as its key's type says, or not at all.

Nothing here needs torch or MONAI, so that a wrong value is told at once.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, ClassVar, Union, get_args, get_origin

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from clinical_qkt.core.renamed import under_new_names

NOT_A_SWITCH, NOT_WHOLE, NOT_A_NUMBER, EMPTY = "not_a_switch", "not_whole", "not_a_number", "empty_path"
NOT_A_DAY = "not_a_day"
"""Kinds of errors that ``Strict`` adds to pydantic's."""
_SWITCH = {"true": True, "false": False}
_SCIENTIFIC = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+")


def read_value(text: str) -> Any:
    """One value of a command line, as MONAI's launcher reads it.

    Literals of Python are what they say, bare words in lists are texts, everything else is the text itself.
    What the launcher would drop as a comment stays.

    >>> [read_value(t) for t in ("1e-5", "[a,b]", "[recv/x]", "false", "ward #3")]
    [1e-05, ['a', 'b'], '[recv/x]', 'false', 'ward #3']
    """
    from fire.parser import DefaultParseValue

    try:
        read = DefaultParseValue(text)
    except (MemoryError, RecursionError):  # brackets without an end
        return text
    return text if isinstance(read, str) and "#" in text and "#" not in read else read


def true_or_false(value: Any) -> bool:
    """The one reader of true and false: a boolean, or the text true or false in any case.

    Raises:
        ValueError: it is anything else, such as ``no``, ``0``, ``off`` or nothing.
    """
    read = _SWITCH.get(value.lower()) if isinstance(value, str) else value
    if not isinstance(read, bool):
        raise PydanticCustomError(NOT_A_SWITCH, "is neither true nor false")
    return read


def whole_number(value: Any) -> int:
    """An integer, and no boolean, text or fraction.

    Raises:
        ValueError: it is something else.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise PydanticCustomError(NOT_WHOLE, "is no whole number")
    return value


def number(value: Any) -> float:
    """An integer or a fraction; ``1e-5`` too, which YAML 1.1 takes for a text.

    Raises:
        ValueError: it is something else.
    """
    if isinstance(value, str) and _SCIENTIFIC.fullmatch(value):
        return float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise PydanticCustomError(NOT_A_NUMBER, "is no number")
    return value


def day(value: Any) -> datetime.date:
    """A date, as YAML reads it or as ISO 8601 writes it; pydantic would take seconds since 1970, too.

    Raises:
        ValueError: it is something else, or has a time of day.
    """
    if isinstance(value, str):
        try:
            return datetime.date.fromisoformat(value.strip())
        except ValueError:
            pass
    if not isinstance(value, datetime.date) or isinstance(value, datetime.datetime):
        raise PydanticCustomError(NOT_A_DAY, "is no date such as 2026-11-01")
    return value


def path(value: Any) -> Any:
    """A path that is not empty: as such it would be the folder in which the command is run.

    Raises:
        ValueError: it is empty.
    """
    if isinstance(value, str) and not value.strip():
        raise PydanticCustomError(EMPTY, "is empty")
    return value


def as_typed(annotation: Any, value: Any) -> Any:
    """A value read strictly where its type is a boolean or a number, or a list of such; others as they are.

    Raises:
        ValueError: it is not of that type.
    """
    kind = plain_type(annotation)
    if value is None and kind is not annotation and NoneType in get_args(annotation):
        return value
    if get_origin(kind) in (list, tuple) and isinstance(value, list | tuple):
        return [as_typed(get_args(kind)[0], entry) for entry in value]
    reader = _READERS.get(kind)
    return reader(value) if reader else value


def plain_type(annotation: Any) -> Any:
    """A type without its limits, and without the choice of leaving it empty."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) in (Union, UnionType):
        kinds = [a for a in get_args(annotation) if a is not NoneType]
        return plain_type(kinds[0]) if len(kinds) == 1 else annotation
    return annotation


_READERS = {bool: true_or_false, int: whole_number, float: number, Path: path, datetime.date: day}
Number = Annotated[float, BeforeValidator(number)]
"""Of sections with keys of their own, whose values ``Strict`` does not see."""


class Strict(BaseModel):
    """A section that people write: unknown keys are refused, booleans and numbers are read strictly.

    pydantic itself takes ``no``, ``off`` and 1 for booleans, and true for a number.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)
    RENAMED: ClassVar[Mapping[str, str]] = {}
    """Old names of its keys."""
    REMOVED: ClassVar[Mapping[str, str]] = {}
    """Keys that it has no more, each with what took its place."""

    @model_validator(mode="before")
    @classmethod
    def _under_new_names(cls, values: Any) -> Any:
        return under_new_names(values, cls.RENAMED) if isinstance(values, Mapping) else values

    @field_validator("*", mode="before")
    @classmethod
    def _as_typed(cls, value: Any, info: ValidationInfo) -> Any:
        return as_typed(cls.model_fields[info.field_name or ""].annotation, value)


class Sent(BaseModel):
    """A part of what one site sends another: unknown keys are refused, and nothing of it changes later."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Written(BaseModel):
    """A part of a file that this software writes and reads again.

    Types are strict; unknown keys are passed over, since a later version may add some.
    """

    model_config = ConfigDict(extra="ignore", strict=True, use_attribute_docstrings=True)
