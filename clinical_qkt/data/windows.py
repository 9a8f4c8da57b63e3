"""What a DICOM header says of its values: rescale to a unit, and the window in which they are shown.

References are to PS3.3 of the DICOM standard.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from pydicom import Dataset
from pydicom.pixels import apply_windowing

from clinical_qkt.data.dicom_pixels import bits_of, holds_floats
from clinical_qkt.data.formats import ImageRefused
from clinical_qkt.data.headers import all_numbers, only_number, quiet, text, value
from clinical_qkt.data.tables import Table, table

Array = np.ndarray[Any, Any]

FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")


@dataclass(frozen=True)
class Modality:
    """From stored values to the modality's own unit (C.11.1): a table, or a slope and an intercept.

    Attributes:
        stated: the header says the slope and the intercept, which are 1 and 0 otherwise.
    """

    slope: float = 1.0
    intercept: float = 0.0
    stated: bool = False
    table: Table | None = None

    def __call__(self, stored: Array) -> Array:
        """Values in the modality's unit, float64, in the shape of the stored ones."""
        if self.table is not None:
            return self.table(stored).astype(np.float64)
        return stored.astype(np.float64) * self.slope + self.intercept


@dataclass(frozen=True)
class Window:
    """One window (C.11.2.1.2 and C.11.2.1.3); width and centre in the modality's unit."""

    centre: float
    width: float
    function: str

    def __call__(self, values: Array) -> Array:
        """Brightness, 0 to 255."""
        one = Dataset()  # for pydicom, whose output has the range that bits say
        one.BitsStored, one.PixelRepresentation, one.PhotometricInterpretation = 8, 0, "MONOCHROME2"
        one.WindowCenter, one.WindowWidth, one.VOILUTFunction = self.centre, self.width, self.function
        with np.errstate(over="ignore"):  # far outside of a sigmoid's window
            return apply_windowing(values, one)

    @property
    def ends(self) -> tuple[float, float]:
        """The values that are shown darkest and brightest, and nothing beyond them; not for SIGMOID.

        >>> Window(40, 400, "LINEAR").ends
        (-160.0, 239.0)
        """
        shift, width = (0.5, self.width - 1) if self.function == "LINEAR" else (0.0, self.width)
        return self.centre - shift - width / 2, self.centre - shift + width / 2


def possible_range(header: Dataset) -> tuple[float, float]:
    """Lowest and highest value that the image can store; call it for integers only."""
    low, high = bits_of(header).range
    return float(low), float(high)


def modality(header: Dataset) -> Modality:
    """
    Raises:
        ImageRefused: slope or intercept is damaged, the slope is 0, one is there without the other, or there
            is a table beside a rescale that changes values.
    """
    slope, intercept = only_number(header, "RescaleSlope"), only_number(header, "RescaleIntercept")
    if slope == 0:
        raise ImageRefused("its rescale slope is 0, which makes all its values one")
    if (slope is None) != (intercept is None):
        there, missing = ("slope", "intercept") if intercept is None else ("intercept", "slope")
        raise ImageRefused(f"says half a rescale: its {there} without its {missing}")
    found = _modality_table(header)
    if slope is None or intercept is None:
        return Modality(table=found)
    if found is not None and (slope, intercept) != (1, 0):
        raise ImageRefused("says a rescale and a modality table, and may have one of them")
    return Modality(slope, intercept, True, found)


def window(header: Dataset) -> Window | None:
    """The first window; None where the header says none.

    Raises:
        ImageRefused: it is damaged, or of a function that the standard does not know.
    """
    centres, widths = all_numbers(header, "WindowCenter"), all_numbers(header, "WindowWidth")
    if len(centres) != len(widths):
        raise ImageRefused("has not as many window centres as window widths")
    if not centres:
        return None
    function = text(header, "VOILUTFunction").upper() or "LINEAR"
    if function not in FUNCTIONS:
        raise ImageRefused("its VOI LUT function is none that the standard knows")
    if widths[0] <= 0:
        raise ImageRefused("its window is not wider than 0")
    if function == "LINEAR" and widths[0] < 1:
        raise ImageRefused("its window is narrower than 1, which a linear one may not be")
    return Window(centres[0], widths[0], function)


def voi_table(header: Dataset, first: Modality) -> Table | None:
    """The first VOI table (C.11.2.1.1), applied to what ``first`` gives; None if there is none.

    Raises:
        ImageRefused: it is damaged.
    """
    if not value(header, "VOILUTSequence"):
        return None
    if holds_floats(header):
        raise ImageRefused("has a VOI table, which is not for floating point numbers")
    ends = (
        first(np.array(possible_range(header)))
        if first.table is None
        else np.array([0, first.table.brightest])
    )
    return table(header, "VOILUTSequence", float(ends.min()), float(ends.max()))


def header_window(header: Dataset) -> tuple[float, float] | None:
    """Lowest and highest value of a header's first window, in the modality's unit.

    Returns:
        None where the header says no window, a damaged one, one of another form than a straight line, or a
        table in its place.
    """
    with quiet():
        try:
            found = window(header)
        except ImageRefused:
            return None
        if found is None or found.function == "SIGMOID" or value(header, "VOILUTSequence"):
            return None
    low, high = found.ends
    return (low, high) if low < high else None


def _modality_table(header: Dataset) -> Table | None:
    if not value(header, "ModalityLUTSequence"):
        return None
    if holds_floats(header):
        raise ImageRefused("has a modality table, which is not for floating point numbers")
    return table(header, "ModalityLUTSequence", *possible_range(header))
