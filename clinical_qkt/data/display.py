"""From the values that a DICOM image stores to what a viewer shows, or to Hounsfield units.

References are to PS3.3 of the DICOM standard.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from pydicom import Dataset

from clinical_qkt.data.dicom_pixels import bits_of, holds_floats
from clinical_qkt.data.formats import ImageRefused
from clinical_qkt.data.headers import only_number, says, text, value
from clinical_qkt.data.windows import Modality, header_window, modality, possible_range, voi_table, window

__all__ = ["GREY", "Intensity", "header_window", "measured_range", "padding", "shown"]

Array = np.ndarray[Any, Any]
Intensity = Literal["display", "HU"]

GREY = {"MONOCHROME1", "MONOCHROME2"}
AIR = -1000.0
"""Hounsfield units of padding, which lies outside the circle that a scanner reconstructs."""


def shown(header: Dataset, stored: Array, intensity: Intensity) -> Array:
    """Stored values as an image.

    ``display`` is what a viewer shows first: Modality LUT (C.11.1), then the header's first VOI LUT or window
    (C.11.2), MONOCHROME1 and an inverse presentation shape turned so that high means bright (C.7.6.3.1.2,
    C.11.6), as 0 to 255. A grey image without a window is scaled from the lowest to the highest of its own
    values, unless it has 8 stored bits or fewer, whose whole range is taken. Padding (C.7.5.1.1.2) becomes 0.
    Colour is scaled by its bits. Overlays are not drawn.

    ``HU`` is the values after rescale, in Hounsfield units; padding becomes -1000, as air.

    Args:
        stored: ``(rows, columns)`` grey or ``(rows, columns, 3)`` RGB.

    Returns:
        ``(width, height)`` or ``(width, height, 3)``, float32.

    Raises:
        ImageRefused: the image has no Hounsfield units, or its header's rescale, window, padding or tables
            are damaged, half there, or none that the standard knows.
    """
    if intensity == "HU":
        _refuse_other_units(header)
    if text(header, "PixelPresentation").upper() in ("COLOR", "MIXED") and stored.ndim == 2:
        raise ImageRefused("mixes grey values with the colours of a supplemental palette")
    try:
        if stored.ndim == 3:
            image = 255.0 * stored / _brightest(header, stored)
        elif intensity == "HU":
            image = np.where(padding(header, stored), AIR, modality(header)(stored))
        else:
            image = _display(header, stored)
    except ImageRefused:
        raise
    except Exception:  # what a damaged header raises may quote it
        raise ImageRefused("its window, rescale or lookup table cannot be applied") from None
    if not np.isfinite(image).all():
        raise ImageRefused("its values are not finite after rescale and window")
    return np.ascontiguousarray(np.moveaxis(image, 0, 1), dtype=np.float32)


def measured_range(header: Dataset, stored: Array) -> tuple[float, float]:
    """Lowest and highest value after the Modality LUT and before any window, padding aside."""
    if stored.ndim == 3:
        return float(stored.min()), float(stored.max())
    inside = ~padding(header, stored)
    measured = stored[inside] if inside.any() else stored
    first = modality(header)
    if first.table is None:  # a rescale is straight, so its ends are enough
        measured = np.array([measured.min(), measured.max()])
    values = first(measured)
    return float(values.min()), float(values.max())


def padding(header: Dataset, stored: Array) -> Array:
    """Pixels outside of what was acquired.

    The sign of integer padding is told by the image's and not by how the attribute is written: some write it
    with the other one, and its bits alone are sure.

    Raises:
        ImageRefused: it is damaged.
    """
    kind = "" if not holds_floats(header) else "Float" if "FloatPixelData" in header else "DoubleFloat"
    one = only_number(header, f"{kind}PixelPaddingValue")
    if one is None:
        return np.zeros(stored.shape, bool)
    other = only_number(header, f"{kind}PixelPaddingRangeLimit")
    ends = [one, one if other is None else other]
    low, high = sorted(ends if kind else [_as_stored(header, int(end)) for end in ends])
    return (stored >= low) & (stored <= high)


def _as_stored(header: Dataset, number: int) -> int:
    """An integer of the header by its bits, as the image stores them."""
    bits = bits_of(header)
    cell, own = 1 << bits.allocated, 1 << 16
    if bits.signed and number >= cell:  # a sign fills the attribute's bits, be they more than the image's
        number -= own
    if not -cell // 2 <= number < cell:
        return number  # no pixel can have it
    # Some write the bits that are stored, and some all that are allocated, sign included.
    found = number % cell
    width = bits.stored if found < 1 << bits.stored else bits.allocated
    return found - (1 << width) if bits.signed and found >= 1 << (width - 1) else found


def _refuse_other_units(header: Dataset) -> None:
    """Rescale Type may be absent or unspecified in a CT (PS3.3, sections C.8.2.1 and C.11.1.1.2)."""
    if text(header, "PhotometricInterpretation") not in GREY:
        raise ImageRefused("is a colour image, which has no Hounsfield units")
    tables = value(header, "ModalityLUTSequence")
    units = text(tables[0], "ModalityLUTType") if tables else text(header, "RescaleType")
    if units.upper() != "HU" and not (text(header, "Modality") == "CT" and units.upper() in ("", "US")):
        raise ImageRefused("has no Hounsfield units: it is neither CT nor rescaled to HU")
    if not tables and not (says(header, "RescaleSlope") and says(header, "RescaleIntercept")):
        raise ImageRefused("has no Hounsfield units: rescale slope and intercept are missing")


def _display(header: Dataset, stored: Array) -> Array:
    """Grey values as a viewer shows them, 0 to 255."""
    outside = padding(header, stored)
    first = modality(header)
    values = first(stored)
    image = _windowed(header, first, values)
    if image is None:
        low, high = _own_range(header, first, values[~outside] if not outside.all() else values)
        image = np.clip((values - low) / ((high - low) or 1.0), 0, 1) * 255
    inverse = text(header, "PresentationLUTShape").upper() == "INVERSE"
    if inverse or text(header, "PhotometricInterpretation") == "MONOCHROME1":
        image = 255 - image
    return np.where(outside, 0.0, image)


def _windowed(header: Dataset, first: Modality, values: Array) -> Array | None:
    """Brightness after the header's first VOI table or, without one, its first window; None without both."""
    table, one = voi_table(header, first), window(header)
    if table is not None:
        return table(values) * (255 / table.brightest)
    return None if one is None else one(values)


def _own_range(header: Dataset, first: Modality, values: Array) -> tuple[float, float]:
    if not holds_floats(header) and first.table is None and bits_of(header).stored <= 8:
        low, high = sorted(first(np.array(possible_range(header))).tolist())
        return low, high
    return float(values.min()), float(values.max())


def _brightest(header: Dataset, stored: Array) -> float:
    if text(header, "PhotometricInterpretation") == "PALETTE COLOR":
        return float(np.iinfo(stored.dtype).max)
    bits = bits_of(header)
    if bits.signed:
        raise ImageRefused("damaged: its colours have a sign")
    return float(bits.range[1])
