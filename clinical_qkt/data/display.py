"""From the values that a DICOM image stores to what a viewer shows, or to Hounsfield units.

References are to PS3.3 of the DICOM standard.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from pydicom import Dataset
from pydicom.pixels import apply_modality_lut, apply_voi_lut

from clinical_qkt.data.formats import ImageRefused
from clinical_qkt.data.headers import number, text, value

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
        ImageRefused: the image has no Hounsfield units, or its tables make no sense.
    """
    if intensity == "HU":
        _refuse_other_units(header)
    try:
        if stored.ndim == 3:
            image = 255.0 * stored / _brightest(header, stored)
        elif intensity == "HU":
            image = np.where(padding(header, stored), AIR, apply_modality_lut(stored, header))
        else:
            image = _display(header, stored)
    except Exception:  # what a damaged table raises may quote it
        raise ImageRefused("its window, rescale or lookup table cannot be applied") from None
    if not np.isfinite(image).all():
        raise ImageRefused("its values are not finite after rescale and window")
    return np.ascontiguousarray(np.moveaxis(image, 0, 1), dtype=np.float32)


def measured_range(header: Dataset, stored: Array) -> tuple[float, float]:
    """Lowest and highest value after the Modality LUT and before any window, padding aside."""
    if stored.ndim == 3:
        return float(stored.min()), float(stored.max())
    inside = ~padding(header, stored)
    ends = np.array([f(stored[inside] if inside.any() else stored) for f in (np.min, np.max)])
    low, high = sorted(float(v) for v in apply_modality_lut(ends, header))
    return low, high


def padding(header: Dataset, stored: Array) -> Array:
    """Pixels outside of what was acquired."""
    one = number(header, "PixelPaddingValue")
    if one is None:
        return np.zeros(stored.shape, bool)
    other = number(header, "PixelPaddingRangeLimit")
    low, high = sorted((one, one if other is None else other))
    return (stored >= low) & (stored <= high)


def _refuse_other_units(header: Dataset) -> None:
    """Rescale Type may be absent or unspecified in a CT (PS3.3, sections C.8.2.1 and C.11.1.1.2)."""
    if text(header, "PhotometricInterpretation") not in GREY:
        raise ImageRefused("is a colour image, which has no Hounsfield units")
    units, ct = text(header, "RescaleType").upper(), text(header, "Modality") == "CT"
    if units != "HU" and not (ct and units in ("", "US")):
        raise ImageRefused("has no Hounsfield units: it is neither CT nor rescaled to HU")
    rescaled = number(header, "RescaleSlope") is not None and number(header, "RescaleIntercept") is not None
    if not rescaled and "ModalityLUTSequence" not in header:
        raise ImageRefused("has no Hounsfield units: rescale slope and intercept are missing")


def _display(header: Dataset, stored: Array) -> Array:
    """Grey values as a viewer shows them, 0 to 255."""
    outside = padding(header, stored)
    values = apply_modality_lut(stored, header)
    window = number(header, "WindowCenter"), number(header, "WindowWidth")
    if value(header, "VOILUTSequence") or None not in window:
        windowed = apply_voi_lut(values, header)
        low, high = _window_range(header)
    else:
        windowed = values
        low, high = _own_range(header, values[~outside] if not outside.all() else values)
    image = np.clip((windowed.astype(np.float64) - low) / ((high - low) or 1.0), 0, 1) * 255
    inverse = text(header, "PresentationLUTShape").upper() == "INVERSE"
    if inverse or text(header, "PhotometricInterpretation") == "MONOCHROME1":
        image = 255 - image
    return np.where(outside, 0.0, image)


def _window_range(header: Dataset) -> tuple[float, float]:
    """What ``apply_voi_lut`` gives for the darkest and the brightest; the order is that of stored values."""
    if value(header, "VOILUTSequence"):
        return 0.0, 2.0 ** header.VOILUTSequence[0].LUTDescriptor[2] - 1
    if value(header, "ModalityLUTSequence"):
        return 0.0, 2.0 ** header.ModalityLUTSequence[0].LUTDescriptor[2] - 1
    low, high = _stored_range(header)
    slope, intercept = number(header, "RescaleSlope"), number(header, "RescaleIntercept")
    if slope is None or intercept is None:
        return low, high
    return low * slope + intercept, high * slope + intercept


def _own_range(header: Dataset, values: Array) -> tuple[float, float]:
    if (number(header, "BitsStored") or 16) <= 8 and "ModalityLUTSequence" not in header:
        low, high = _window_range(header)
        return min(low, high), max(low, high)
    return float(values.min()), float(values.max())


def _stored_range(header: Dataset) -> tuple[float, float]:
    bits = int(header.BitsStored)
    return (
        (-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1) if header.PixelRepresentation else (0.0, 2.0**bits - 1)
    )


def _brightest(header: Dataset, stored: Array) -> float:
    if text(header, "PhotometricInterpretation") == "PALETTE COLOR":
        return float(np.iinfo(stored.dtype).max)
    return 2.0 ** int(header.BitsStored) - 1
