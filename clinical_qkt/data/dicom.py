"""One DICOM image as an array, with pydicom's functions; anything else is refused with the reason.

References are to the DICOM standard: PS3.3 (objects), PS3.5 (transfer syntaxes), PS3.10 (files).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from monai.data import ImageReader
from monai.data.image_reader import _copy_compatible_dict, _stack_images
from monai.utils.enums import MetaKeys, SpaceKeys
from pydicom import Dataset
from pydicom.pixels import get_decoder
from pydicom.uid import UID

from clinical_qkt.data.dicom_files import CutShort, read_header
from clinical_qkt.data.dicom_pixels import CODECS, holds_floats, stored_values
from clinical_qkt.data.display import GREY, Array, Intensity, shown
from clinical_qkt.data.formats import ImageRefused, kind_of
from clinical_qkt.data.functional_groups import fit_one_frame
from clinical_qkt.data.headers import number, only_number, quiet, spacing, text, uid_name

__all__ = ["DicomReader", "decode", "opened", "pixels", "read_header", "refuse", "stored_values"]

COLOUR = {"RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT", "PALETTE COLOR"}
DERIVED = {"Segmentation Storage", "RT Dose Storage", "Parametric Map Storage"}
"""Objects with pixels that are no image of a patient but a map that somebody or something made."""
MAX_PIXELS = 2**27
"""A header that announces more, each colour of a pixel counted, is refused before memory is asked for."""


def decode(path: Path, intensity: Intensity = "display") -> Array:
    """Read one image; ``clinical_qkt.data.display`` tells what the intensities mean.

    Returns:
        ``(width, height)`` or, for colour, ``(width, height, 3)``, float32.

    Raises:
        ImageRefused: with the reason.
    """
    return pixels(opened(path), intensity)


def opened(path: Path) -> Dataset:
    """A file's header, checked to belong to one image that can be decoded.

    Raises:
        ImageRefused: with the reason.
    """
    header = read_header(path)
    refuse(header)
    return header


def refuse(header: Dataset) -> None:
    """
    Raises:
        ImageRefused: the data set is not one image with pixels that the installed decoders read.
    """
    if isinstance(header, CutShort):
        raise ImageRefused(header.reason)
    with quiet():
        uid = text(header, "SOPClassUID") or text(_meta(header), "MediaStorageSOPClassUID")
        kind = uid_name(uid, "object of an unknown class")
        if kind in DERIVED:
            raise ImageRefused(f"is a map that was made from images ({kind}), not an image")
        if number(header, "Rows") is None or not _has_pixels(header):
            kind = _directory(header) or kind
            cut = ", though it is an image: truncated, or saved without" if "Image Storage" in kind else ""
            raise ImageRefused(f"has no pixel data ({kind}){cut}")
        _refuse_frames(header)
        _refuse_size(header)
        _refuse_photometric(header)
        _refuse_syntax(header)


def pixels(header: Dataset, intensity: Intensity) -> Array:
    """The image of a data set that ``refuse`` has passed; see ``decode``."""
    with quiet():
        return shown(header, stored_values(header), intensity)


class DicomReader(ImageReader):
    """MONAI's reader for single DICOM images: ``LoadImaged("image", reader=DicomReader("HU"))``.

    Axes are those of ``PILReader``: width, height and, for colour, channels last, which
    ``EnsureChannelFirst`` moves. The metadata hold the shape and the affine, nothing else of the header. The
    affine knows the spacing in the plane in millimetres (1 where the header does not say) and not where the
    slice lies in the patient, since MONAI's transforms of two-dimensional images use its first two axes only.
    Several files become channels of one image.

    Args:
        intensity: ``"display"`` for what a viewer shows, 0 to 255; ``"HU"`` for Hounsfield units.
    """

    def __init__(self, intensity: Intensity = "display") -> None:
        super().__init__()
        if intensity not in ("display", "HU"):
            raise ValueError(f"intensity is 'display' or 'HU', not {intensity!r}")
        self.intensity: Intensity = intensity

    def verify_suffix(self, filename: Any) -> bool:
        """Whether all files claim to be DICOM files."""
        return all(kind_of(Path(f)) == "dicom" for f in _listed(filename))

    def read(self, data: Any, **_: Any) -> Any:
        """The checked data set of each file."""
        found = [opened(Path(f)) for f in _listed(data)]
        return found if len(found) > 1 else found[0]

    def get_data(self, img: Any) -> tuple[Array, dict[str, Any]]:
        """The array, see ``decode``, and MONAI's metadata."""
        arrays: list[Array] = []
        meta: dict[str, Any] = {}
        for header in img if isinstance(img, list) else [img]:
            array = pixels(header, self.intensity)
            arrays.append(array)
            _copy_compatible_dict(self._meta(header, array), meta)
        return _stack_images(arrays, meta), meta

    @staticmethod
    def _meta(header: Dataset, array: Array) -> dict[str, Any]:
        with quiet():
            known = spacing(header)
        affine = np.diag([*(known or (1.0, 1.0)), 1.0, 1.0])
        meta: dict[str, Any] = {
            MetaKeys.AFFINE: affine,
            MetaKeys.SPACE: SpaceKeys.RAS,
            MetaKeys.SPATIAL_SHAPE: np.asarray(array.shape[:2]),
            MetaKeys.ORIGINAL_CHANNEL_DIM: float("nan") if array.ndim == 2 else -1,
        }
        # By this the input contract tells a spacing that the file states from one that nobody knows.
        return {**meta, MetaKeys.ORIGINAL_AFFINE: affine.copy()} if known else meta


def _listed(files: Any) -> Sequence[Any]:
    return files if isinstance(files, list | tuple) else [files]


def _meta(header: Dataset) -> Dataset:
    return getattr(header, "file_meta", Dataset())


def _has_pixels(header: Dataset) -> bool:
    return "PixelData" in header or holds_floats(header)


def _directory(header: Dataset) -> str | None:
    return "a directory of other files, DICOMDIR" if "DirectoryRecordSequence" in header else None


def _refuse_frames(header: Dataset) -> None:
    frames = only_number(header, "NumberOfFrames") or 1
    if not 1 <= frames < 2**31:
        raise ImageRefused("damaged: its number of frames is none")
    if frames != 1:
        told = "one image a file is read, so split it into single frames"
        raise ImageRefused(f"holds {int(frames)} frames; {told}")
    if not fit_one_frame(header):
        raise ImageRefused("damaged: its functional groups are not those of one frame")


def _refuse_size(header: Dataset) -> None:
    rows, columns = number(header, "Rows") or 0, number(header, "Columns") or 0
    if rows < 1 or columns < 1:
        raise ImageRefused("damaged: its number of rows or columns is none")
    colours = 1 if text(header, "PhotometricInterpretation") in GREY else 3
    if rows * columns * colours > MAX_PIXELS:
        raise ImageRefused(f"is too large: it announces more than {MAX_PIXELS:,} pixels, each colour counted")


def _refuse_photometric(header: Dataset) -> None:
    photometric = text(header, "PhotometricInterpretation")
    if photometric not in GREY | COLOUR:
        raise ImageRefused("its photometric interpretation is missing or is none that is read")
    samples = number(header, "SamplesPerPixel")
    if samples != (1 if photometric in GREY or photometric == "PALETTE COLOR" else 3):
        raise ImageRefused("damaged: samples per pixel do not fit its photometric interpretation")


def _refuse_syntax(header: Dataset) -> None:
    """A transfer syntax (PS3.5, section 10 and annex A) must be named, known and decodable."""
    uid = text(_meta(header), "TransferSyntaxUID")
    if not uid:
        raise ImageRefused("names no transfer syntax, so its pixels cannot be decoded")
    name = uid_name(uid, "a transfer syntax that is not in the standard")
    try:
        decoder = get_decoder(UID(uid))
    except NotImplementedError:
        raise ImageRefused(f"its transfer syntax is not one of still images that are read: {name}") from None
    if not decoder.is_available:
        raise ImageRefused(f"no decoder is installed for its transfer syntax, {name}: {CODECS}")
