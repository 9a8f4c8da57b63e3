"""Single attributes of a DICOM header; those of an enhanced object's one frame are found in its groups.

``value``, ``text``, ``numbers`` and ``number`` take a damaged value for a missing one. ``only_number`` and
``all_numbers`` are for what decides how pixels look: there a damaged value is a reason to refuse the image.
"""

from __future__ import annotations

import logging
import math
import string
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pydicom import Dataset
from pydicom.multival import MultiValue
from pydicom.uid import UID, UID_dictionary

from clinical_qkt.data.formats import ImageRefused
from clinical_qkt.data.functional_groups import places

PADDING = string.whitespace + "\0"
"""What fills texts up to an even length (PS3.5, section 6.2), and blanks that people type."""


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
    for place in places(header, keyword):
        try:
            found = place.get(keyword)
        except Exception:  # a damaged value can raise anything
            return None
        if not _is_empty(found):
            return found
    return None


def says(header: Dataset, keyword: str) -> bool:
    """Whether an attribute is there and holds something, be it damaged."""
    for place in places(header, keyword):
        try:
            if not _is_empty(place.get(keyword)):
                return True
        except Exception:
            return True
    return False


def text(header: Dataset, keyword: str) -> str:
    """An attribute as text without outer blanks; empty where it is absent or cannot be read.

    Several values are joined by a backslash, as in the file.
    """
    found = value(header, keyword)
    try:
        parts = found if isinstance(found, MultiValue) else [found]
        return "\\".join(str(p).strip(PADDING) for p in parts if p is not None)
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


def all_numbers(header: Dataset, keyword: str) -> list[float]:
    """An attribute's numbers; empty where it is absent or empty.

    Raises:
        ImageRefused: it holds something else than finite numbers.
    """
    found = numbers(header, keyword)
    if not found and says(header, keyword):
        raise ImageRefused(f"damaged: {keyword} in its header is no number")
    return found


def only_number(header: Dataset, keyword: str) -> float | None:
    """An attribute's number; None where it is absent or empty.

    Raises:
        ImageRefused: it is not one finite number.
    """
    found = all_numbers(header, keyword)
    if len(found) > 1:
        raise ImageRefused(f"damaged: {keyword} in its header is more than one number")
    return next(iter(found), None)


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


def _is_empty(found: Any) -> bool:
    """Attributes without a value are written as none, as nothing, or as blanks (PS3.5, section 7.4)."""
    if isinstance(found, bytes):
        return not found.strip(PADDING.encode())
    if isinstance(found, str):
        return not found.strip(PADDING)
    return found is None or (hasattr(found, "__len__") and len(found) == 0)
