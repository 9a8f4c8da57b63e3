"""Where an enhanced DICOM object of one frame says what others say at the top of their header.

References are to PS3.3 of the DICOM standard: an enhanced object keeps the spacing, place, rescale and window
of its frames in functional groups (section C.7.6.16), shared by all frames or one for each.
"""

from __future__ import annotations

from collections.abc import Iterator

from pydicom import Dataset

MACROS: dict[str, tuple[str, ...]] = {
    "PixelMeasuresSequence": ("PixelSpacing", "SliceThickness", "SpacingBetweenSlices"),
    "PlanePositionSequence": ("ImagePositionPatient",),
    "PlaneOrientationSequence": ("ImageOrientationPatient",),
    "PixelValueTransformationSequence": ("RescaleSlope", "RescaleIntercept", "RescaleType"),
    "FrameVOILUTSequence": ("WindowCenter", "WindowWidth", "VOILUTFunction", "VOILUTSequence"),
    "CTAcquisitionDetailsSequence": ("GantryDetectorTilt",),
}
"""What is looked for in functional groups: the sequence of a macro, and attributes of its one item."""

MACRO_OF = {keyword: macro for macro, keywords in MACROS.items() for keyword in keywords}
PER_FRAME, SHARED = "PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence"
UNASSIGNED = {
    PER_FRAME: "UnassignedPerFrameConvertedAttributesSequence",
    SHARED: "UnassignedSharedConvertedAttributesSequence",
}
"""Where legacy objects that were converted keep what no macro has room for (C.8.13.5.2)."""


def places(header: Dataset, keyword: str) -> Iterator[Dataset]:
    """The data sets that may say an attribute, in the order in which they are believed.

    The frame's own group is believed before the shared one, and functional groups before the top of the
    header, which is not the place for these attributes in an object that has groups.
    """
    macro = MACRO_OF.get(keyword)
    if macro is not None:
        for sequence in (PER_FRAME, SHARED):
            for name in (macro, UNASSIGNED[sequence]):
                found = _item(_item(header, sequence), name)
                if found is not None:
                    yield found
    yield header


def fit_one_frame(header: Dataset) -> bool:
    """Whether the groups can be those of one frame: at most one item of each kind."""
    try:
        return all(len(header.get(sequence) or ()) <= 1 for sequence in (PER_FRAME, SHARED))
    except Exception:  # a damaged sequence can raise anything
        return False


def _item(header: Dataset | None, sequence: str) -> Dataset | None:
    """A sequence's first item; None where there is none, or where it cannot be read."""
    try:
        found = header.get(sequence) if header is not None else None
        return found[0] if found else None
    except Exception:
        return None
