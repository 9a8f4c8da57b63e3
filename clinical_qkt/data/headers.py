"""Single attributes of a DICOM header, read so that a damaged value counts as a missing one."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pydicom import Dataset
from pydicom.multival import MultiValue
from pydicom.uid import UID, UID_dictionary


@contextmanager
def quiet(library: str = "pydicom") -> Iterator[None]:
    """No warning from a library: warnings quote header values, and those may name a patient."""
    logger = logging.getLogger(library)
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)


def value(header: Dataset, keyword: str) -> Any:
    """An attribute's value; None where it is absent, empty or cannot be read."""
    try:
        found = header.get(keyword)
    except Exception:  # a damaged value can raise anything
        return None
    return None if found is None or found == "" else found


def text(header: Dataset, keyword: str) -> str:
    """An attribute as text without outer blanks; empty where it is absent or cannot be read.

    Several values are joined by a backslash, as in the file.
    """
    found = value(header, keyword)
    try:
        parts = found if isinstance(found, MultiValue) else [found]
        return "\\".join(str(p).strip().strip("\0") for p in parts if p is not None)
    except Exception:
        return ""


def numbers(header: Dataset, keyword: str) -> list[float]:
    """An attribute's numbers; empty where it is absent, cannot be read or holds NaN or infinity."""
    found = value(header, keyword)
    try:
        if isinstance(found, str | bytes):
            return []
        values = [float(v) for v in (found if hasattr(found, "__iter__") else [found])]
    except Exception:
        return []
    return values if all(math.isfinite(v) for v in values) else []


def number(header: Dataset, keyword: str) -> float | None:
    """An attribute's first number, or None."""
    return next(iter(numbers(header, keyword)), None)


def spacing(header: Dataset) -> tuple[float, float] | None:
    """Millimetres between pixels along MONAI's axes, width then height.

    Pixel Spacing (PS3.3, section 10.7.1.3) gives the distance of rows first, which is along the height. The
    spacing at a detector (Imager Pixel Spacing) is not taken for it, since it is not that in the patient.

    Returns:
        None where the header does not say, or says what cannot be.
    """
    found = numbers(header, "PixelSpacing")
    if len(found) != 2 or not all(0 < s < 1000 for s in found):
        return None
    return found[1], found[0]


def uid_name(uid: str, unknown: str) -> str:
    """The standard's name of a UID; ``unknown`` for a UID that it does not list, which is not repeated."""
    return str(UID(uid).name) if uid in UID_dictionary else unknown
