"""The table at the head of a safetensors file: which tensors it holds, read before any of them is."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from clinical_qkt.packages import plain_json

MAX_HEADER_BYTES, MAX_TENSORS = 8_000_000, 40_000
"""Of the table, and how many tensors it may name."""
NOTES = "__metadata__"
"""The format's name for texts about a file."""
_ITEM_BYTES = {"F16": 2, "F32": 4, "F64": 8, "I64": 8, "BOOL": 1}


def read_header(path: Path) -> dict[str, tuple[list[int], str]]:
    """Shape and type of each tensor of a safetensors file, by name; the tensors are not read.

    Stricter than the format: no name twice, no notes, and not a byte that belongs to no tensor.

    Raises:
        ValueError: the table is not as it has to be, or does not fit the file.
    """
    return _fitting(path, *_table(path))


def read_noted(path: Path) -> tuple[dict[str, tuple[list[int], str]], dict[str, str]]:
    """The same of a file that may have notes, the format's ``__metadata__``; and these.

    Raises:
        ValueError: as ``read_header``; or the notes are not texts by name.
    """
    table, length = _table(path)
    notes = table.pop(NOTES, {})
    if not isinstance(notes, dict) or not all(isinstance(text, str) for text in notes.values()):
        raise ValueError("its notes are not texts by name")
    return _fitting(path, table, length), notes


def _table(path: Path) -> tuple[dict[str, Any], int]:
    """The table as it stands there, and its length in bytes."""
    with path.open("rb") as f:
        length = int.from_bytes(f.read(8), "little")
        if length > MAX_HEADER_BYTES:
            raise ValueError("there is no table of names, or it is too large")
        raw = f.read(length)
    table = plain_json.parse(raw, MAX_TENSORS * 10)
    if not isinstance(table, dict) or len(table) > MAX_TENSORS:
        raise ValueError(f"the table is none of at most {MAX_TENSORS:,} tensors")
    return table, length


def _fitting(path: Path, table: dict[str, Any], length: int) -> dict[str, tuple[list[int], str]]:
    end, found = 0, {}
    for name, entry in sorted(table.items(), key=lambda item: _offsets(item[1])):
        begin, stop = _offsets(entry)
        shape, dtype = entry["shape"], entry["dtype"]
        if not _whole_numbers(shape) or not isinstance(dtype, str) or dtype not in _ITEM_BYTES:
            raise ValueError(f"the shape or type of tensor '{name[:100]}' is none that a network has")
        if begin != end or stop - begin != math.prod(shape) * _ITEM_BYTES[dtype]:
            raise ValueError(f"the place of tensor '{name[:100]}' does not fit its shape or the others")
        found[name], end = (shape, dtype), stop
    if 8 + length + end != path.stat().st_size:
        raise ValueError("its size is not what the table says")
    return found


def _offsets(entry: Any) -> list[int]:
    """Where a tensor begins and ends.

    Raises:
        ValueError: the entry is not as the format says.
    """
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise ValueError("an entry of the table is not dtype, shape and data_offsets")
    places = entry["data_offsets"]
    if not _whole_numbers(places) or len(places) != 2:
        raise ValueError("the place of a tensor is not two whole numbers")
    return places


def _whole_numbers(value: Any) -> bool:
    return isinstance(value, list) and len(value) <= 8 and all(type(v) is int and v >= 0 for v in value)
