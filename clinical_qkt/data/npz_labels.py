"""Labels of an ``.npz`` file: whole numbers or class names, and everything else refused by its array."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from clinical_qkt.core.errors import InputError, one_of
from clinical_qkt.data.class_names import shown
from clinical_qkt.data.label_space import LabelSpace
from clinical_qkt.data.words import is_missing

Array = np.ndarray[Any, Any]
FIX = "give one label an image: a whole number from 0, or the name of its class"
GAPS = "number the classes from 0 without gaps, or add an array 'classes'"


def read_labels(where: str, arrays: Mapping[str, Array], names: Array | None) -> tuple[LabelSpace, Array]:
    """The classes of a file and the position of each image's.

    Args:
        where: how errors call the file.
        arrays: by their names, each ``(N,)`` or ``(N, 1)``: whole numbers, or class names.
        names: the array ``classes``, where there is one.

    Returns:
        The classes, and ``(N,)`` positions of all arrays one after the other.

    Raises:
        InputError: names the array and what is wrong with it.
    """
    columns = {key: _column(array, f"{where}: {key}") for key, array in arrays.items()}
    kinds = {key: column.dtype.kind for key, column in columns.items()}
    if len(set(kinds.values())) > 1:
        told = ", ".join(f"{key} {'names' if kind == 'U' else 'numbers'}" for key, kind in kinds.items())
        raise InputError(f"some labels are names and some are numbers: {told}", where=where, fix=FIX)
    labels = np.concatenate(list(columns.values()))
    given = None if names is None else _names(names, f"{where}: classes")
    at = f"{where}: {', '.join(arrays)}"
    if not len(labels):
        raise InputError("holds no label", where=at, fix=FIX)
    classes, positions = (
        _named(labels, given, at) if labels.dtype.kind == "U" else _numbered(labels, given, at)
    )
    _refuse_empty(classes, positions, at, GAPS if given is None else "drop it from 'classes'")
    return classes, positions


def _column(array: Array, where: str) -> Array:
    """``(N,)`` text or int64."""
    flat = array.reshape(-1)
    if flat.dtype.kind == "S":
        flat = _decoded(flat, where)
    if flat.dtype.kind == "U":
        return _names_of_classes(flat, where)
    if flat.dtype.kind not in "biuf":
        raise InputError(f"holds {flat.dtype}, which is no label", where=where, fix=FIX)
    return _whole(flat.astype(np.float64) if flat.dtype.kind == "f" else flat, where)


def _names_of_classes(column: Array, where: str) -> Array:
    missing = [i for i, word in enumerate(column.tolist()) if is_missing(word)]
    if missing:
        problem = f"label {shown(column[missing[0]])} at position {missing[0]} is a mark for a missing value"
        raise InputError(problem, where=where, fix=FIX)
    return column


def _decoded(column: Array, where: str) -> Array:
    try:
        return np.array([value.decode("utf-8") for value in column.tolist()], dtype=np.str_)
    except UnicodeDecodeError:
        raise InputError("holds bytes that are not UTF-8", where=where, fix=FIX) from None


def _whole(column: Array, where: str) -> Array:
    for wrong, what in (
        (~np.isfinite(column), "is no number"),
        (column < 0, "is negative"),
        (column != np.floor(column), "is a fraction"),
        (column > np.iinfo(np.int32).max, "is too large"),
    ):
        if wrong.any():
            at = int(np.argmax(wrong))
            raise InputError(f"label {column[at]!s} at position {at} {what}", where=where, fix=FIX)
    return np.asarray(column.astype(np.int64))


def _names(names: Array, where: str) -> list[str]:
    fix = "give one name a class, as text"
    if names.ndim != 1 or not len(names):
        raise InputError(f"has the shape {names.shape}, not (number of classes,)", where=where, fix=fix)
    if names.dtype.kind not in "SUiu":
        raise InputError(f"holds {names.dtype}, which names no class", where=where, fix=fix)
    return [str(n) for n in (_decoded(names, where) if names.dtype.kind == "S" else names).tolist()]


def _named(labels: Array, names: list[str] | None, where: str) -> tuple[LabelSpace, Array]:
    found, which = np.unique(labels, return_inverse=True)
    texts = [str(n) for n in found.tolist()]
    classes = LabelSpace(texts if names is None else names, where=where)
    places = [classes.find(LabelSpace([text], where=where)[0]) for text in texts]
    if None in places:
        lost = texts[places.index(None)]
        raise InputError(
            f"{shown(lost)} is not in the array 'classes'", where=where, fix=one_of(lost, classes.names)
        )
    return classes, np.array(places, dtype=np.int64)[which]


def _numbered(labels: Array, names: list[str] | None, where: str) -> tuple[LabelSpace, Array]:
    count = int(labels.max()) + 1 if names is None else len(names)
    outside = labels[labels >= count]
    if len(outside):
        raise InputError(
            f"label {outside[0]} is outside the list of {count} classes", where=where, fix="extend 'classes'"
        )
    if names is None and count > len(labels):  # then some class is empty, and the list may be endless
        empty = min(set(range(len(labels) + 1)) - set(labels.tolist()))
        raise InputError(
            f"label {labels.max()} is there and label {empty} is not, so class {empty} has no images",
            where=where,
            fix=GAPS,
        )
    return LabelSpace(names or [f"class {i}" for i in range(count)], where=where), labels


def _refuse_empty(classes: LabelSpace, positions: Array, where: str, fix: str) -> None:
    empty = sorted(set(range(len(classes))) - set(positions.tolist()))
    if empty:
        raise InputError(f"class '{classes[empty[0]].name}' has no images", where=where, fix=fix)
