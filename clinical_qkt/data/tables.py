"""Lookup tables of a DICOM header: for modality and VOI, and the palette of a colour image.

pydicom has functions for them, which index in the type of the table or of the image: where that has fewer
bits than the index needs, values wrap without a word. These do not, and take the first mapped value by its
bits, whichever sign its representation says.

References are to PS3.3 of the DICOM standard.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from pydicom import Dataset
from pydicom.pixels import apply_color_lut

from clinical_qkt.data.formats import ImageRefused
from clinical_qkt.data.headers import all_numbers, says, value

Array = np.ndarray[Any, Any]

DAMAGED = "damaged: a lookup table in its header does not fit its descriptor"
COLOURS = ("Red", "Green", "Blue")
LARGEST = 2**16
"""Entries of a table, at most; its descriptor has room for one less, and says 0 for as many."""


@dataclass(frozen=True)
class Table:
    """A lookup table.

    Attributes:
        first: the value that the first entry is for; values below get it too.
        entries: ``(N,)`` unsigned; the last is for all values above.
        depth: bits of an entry.
    """

    first: int
    entries: Array
    depth: int

    def __call__(self, values: Array) -> Array:
        """Each value's entry, in the shape of the values; fractions are rounded."""
        places = np.rint(values).astype(np.int64) - self.first
        return self.entries[np.clip(places, 0, len(self.entries) - 1)]

    @property
    def brightest(self) -> float:
        """The highest entry that the depth allows."""
        return 2.0**self.depth - 1


def table(header: Dataset, sequence: str, low: float, high: float) -> Table | None:
    """The first table of a sequence (C.11.1 and C.11.2); None where the sequence is absent or empty.

    Args:
        sequence: ``ModalityLUTSequence`` or ``VOILUTSequence``.
        low, high: of the values that may be looked up, by which the sign of the first one is told.

    Raises:
        ImageRefused: the table is damaged.
    """
    items = value(header, sequence)
    if not items:
        return None
    count, first, depth = _descriptor(items[0], "LUTDescriptor", low, high)
    entries = _entries(items[0], "LUTData", count, big=_is_big(header))
    if int(entries.max()) >= 2**depth:
        raise ImageRefused(DAMAGED)
    return Table(first, entries, depth)


def coloured(header: Dataset, stored: Array) -> Array:
    """Palette indices as RGB (C.7.6.3.1.5 and C.7.6.3.1.6).

    Args:
        stored: ``(rows, columns)``.

    Returns:
        ``(rows, columns, 3)``, uint8 or uint16, in which the highest number is the brightest.

    Raises:
        ImageRefused: a palette is missing or damaged.
    """
    low, high = np.iinfo(stored.dtype).min, np.iinfo(stored.dtype).max
    name = "{}PaletteColorLookupTable{}"
    if not says(header, name.format("Red", "Data")):
        return _segmented(header, stored)
    found = []
    for colour in COLOURS:
        count, first, depth = _descriptor(header, name.format(colour, "Descriptor"), low, high)
        entries = _entries(header, name.format(colour, "Data"), count, big=_is_big(header))
        if depth not in (8, 16):
            raise ImageRefused(DAMAGED)
        if depth == 8 and int(entries.max()) < 256:  # some write 8 bits in cells of 16
            entries = entries.astype(np.uint8)
        found.append(Table(first, entries, depth)(stored))
    return np.stack(found, -1)


def _segmented(header: Dataset, stored: Array) -> Array:
    """Palettes that pydicom expands (C.7.9.2); its index wraps in tables of 8 bits with many entries."""
    try:
        found = apply_color_lut(stored, header)
    except Exception:  # a damaged palette can raise anything, and what it raises may quote it
        raise ImageRefused("its colour palette is missing, or cannot be applied") from None
    if found.dtype.itemsize == 1 and int(stored.max()) > 255:
        raise ImageRefused("its colour palette has more than 256 entries of 8 bits in segments")
    return found


def _descriptor(holder: Dataset, keyword: str, low: float, high: float) -> tuple[int, int, int]:
    """Entries, first value and bits of an entry; the first two may be written with the wrong sign.

    Raises:
        ImageRefused: it is damaged, or for values that the image cannot have.
    """
    found = all_numbers(holder, keyword)
    if len(found) != 3 or not 8 <= found[2] <= 16:
        raise ImageRefused(DAMAGED)
    count, first = int(found[0]) % LARGEST or LARGEST, int(found[1]) % LARGEST
    shared = {f: min(f + count - 1, high) - max(f, low) for f in (first, first - LARGEST)}
    likely = max(shared, key=lambda f: shared[f])
    if shared[likely] < 0:
        raise ImageRefused(DAMAGED)
    return count, likely, int(found[2])


def _entries(holder: Dataset, keyword: str, count: int, *, big: bool) -> Array:
    """A table's entries as uint16, or as uint8 where two share a word."""
    try:
        data = holder[keyword].value
        if not isinstance(data, bytes):
            found = (np.atleast_1d(np.asarray(data, np.int64)) % LARGEST).astype(np.uint16)
        else:
            words = np.frombuffer(data, ">u2" if big else "<u2").astype("<u2")
            found = words if len(words) >= count else words.view(np.uint8)
    except Exception:  # a damaged value can raise anything
        raise ImageRefused(DAMAGED) from None
    if len(found) < count:
        raise ImageRefused(DAMAGED)
    return found[:count]


def _is_big(header: Dataset) -> bool:
    return header.original_encoding[1] is False
