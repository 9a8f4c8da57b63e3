"""Subgroups that a person names for images, such as sex, age band, device or site: few words, no patients."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from clinical_qkt.data.class_names import shown
from clinical_qkt.data.words import is_missing, one_spelling, patient_like

MOST, LONGEST = 20, 40
"""Values of a column, and characters of a value, at most."""
RESERVED = ("file", "series", "seriesinstanceuid", "image", "label")
BANDS = "put its values into bands in a column of its own, e.g. age_band with 40-49 and 50-59"


def read_groups(given: Any) -> dict[str, str]:
    """The groups of one image as a datalist holds them.

    What is empty, null or a mark for a missing value is not told.

    Raises:
        ValueError: it is no mapping of names to texts or whole numbers, or names a patient.
    """
    if not isinstance(given, Mapping):
        raise ValueError("is no mapping of columns to values, such as {'sex': 'F'}")
    found = {}
    for column, value in given.items():
        if problem := column_problem(column):
            raise ValueError(problem)
        if value is None or (isinstance(value, str) and (not value.strip() or is_missing(value))):
            continue
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise ValueError(f"the value of {shown(column)} is neither text nor a whole number")
        found[column] = str(value).strip()
    return found


def column_problem(column: str) -> str | None:
    """Why a column cannot be one of groups, in one sentence; None if it can."""
    if not column.strip():
        return "a column of groups has no name"
    if patient_like([column]):
        return f"the column {shown(column)} names patients, and groups must not tell who somebody is"
    if column.lower() in RESERVED:
        return f"the column {shown(column)} is no group"
    return None


def values_problem(column: str, values: Iterable[str]) -> tuple[str, str] | None:
    """What is wrong with all the values of a column, and the remedy; None if nothing is."""
    different = set(values)
    if len(different) > MOST:
        return f"{shown(column)} has {len(different)} values, and groups have {MOST} at most", BANDS
    if any(len(v) > LONGEST or not v.isprintable() for v in different):
        problem = f"a value of {shown(column)} is longer than {LONGEST} characters, or cannot be shown"
        return problem, "write short words"
    if len({one_spelling(v) for v in different}) < len(different):
        problem = f"two values of {shown(column)} differ in nothing but case, blanks or leading zeros"
        return problem, "write the same in the same way"
    return None
