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
from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError
from pydicom.pixels import apply_color_lut, get_decoder, pixel_array
from pydicom.uid import UID, JPEGExtended12Bit

from clinical_qkt.data.display import GREY, Array, Intensity, shown
from clinical_qkt.data.formats import ImageRefused, kind_of
from clinical_qkt.data.headers import number, quiet, spacing, text, uid_name

COLOUR = {"RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT", "PALETTE COLOR"}
DERIVED = {"Segmentation Storage", "RT Dose Storage", "Parametric Map Storage"}
"""Objects with pixels that are no image of a patient but a map that somebody or something made."""
MAX_PIXELS = 2**27
"""A header that announces more is refused before memory is asked for."""
DEFER = 64 * 2**20
"""Bytes above which pixel data stay in the file until they are asked for, e.g. of long films."""
CODECS = "pip install 'clinical-qkt[codecs]'"
EXTRA_PLUGINS = {"gdcm": "gdcm", "pyjpegls": "pyjpegls", "pylibjpeg": "pylibjpeg-openjpeg"}
"""Decoders that the extra ``codecs`` brings, and what pydicom says it needs for them."""


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


def read_header(path: Path) -> Dataset:
    """A file's data set, unchecked; large pixel data stay in the file.

    Raises:
        ImageRefused: it is missing, empty, no DICOM file, or damaged before its end.
    """
    if not path.is_file():
        raise ImageRefused("missing")
    try:
        with quiet():
            return dcmread(path, defer_size=DEFER)
    except InvalidDicomError:
        reason = "has no DICOM file header (PS3.10, section 7.1), so its transfer syntax is unknown"
        raise ImageRefused(reason) from None
    except PermissionError:
        raise ImageRefused("may not be read by this user") from None
    except Exception:  # arbitrary bytes can raise anything, and the text may quote them
        raise ImageRefused("truncated or damaged: its DICOM header cannot be read") from None


def refuse(header: Dataset) -> None:
    """
    Raises:
        ImageRefused: the data set is not one image with pixels that the installed decoders read.
    """
    with quiet():
        kind = uid_name(text(header, "SOPClassUID"), "object of an unknown class")
        if kind in DERIVED:
            raise ImageRefused(f"is a map that was made from images ({kind}), not an image")
        if number(header, "Rows") is None or not _has_pixels(header):
            kind = _directory(header) or kind
            raise ImageRefused(f"has no pixel data ({kind})")
        _refuse_frames(header)
        _refuse_photometric(header)
        _refuse_syntax(header)


def pixels(header: Dataset, intensity: Intensity) -> Array:
    """The image of a data set that ``refuse`` has passed; see ``decode``."""
    with quiet():
        return shown(header, stored_values(header), intensity)


def stored_values(header: Dataset) -> Array:
    """Stored values ``(rows, columns)``, or RGB ``(rows, columns, 3)``; call it within ``quiet``.

    Raises:
        ImageRefused: the pixel data are damaged, or no installed decoder reads them.
    """
    try:
        found = pixel_array(header)
        if text(header, "PhotometricInterpretation") == "PALETTE COLOR":
            found = apply_color_lut(found, header)
    except Exception:  # decoders raise anything, and may quote what they were given
        raise ImageRefused(_why_not_decoded(header)) from None
    if found.ndim not in (2, 3) or (found.ndim == 3 and found.shape[2] not in (3, 4)):
        raise ImageRefused("damaged: its pixel data are not one image")
    return found[..., :3] if found.ndim == 3 else found


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


def _has_pixels(header: Dataset) -> bool:
    return any(k in header for k in ("PixelData", "FloatPixelData", "DoubleFloatPixelData"))


def _directory(header: Dataset) -> str | None:
    return "a directory of other files, DICOMDIR" if "DirectoryRecordSequence" in header else None


def _refuse_frames(header: Dataset) -> None:
    try:
        frames = int(header.get("NumberOfFrames", 1) or 1)
    except Exception:
        raise ImageRefused("damaged: its number of frames is no number") from None
    if frames != 1:
        raise ImageRefused(f"holds {frames} frames; one image a file is read, so split it into single frames")
    rows, columns = number(header, "Rows") or 0, number(header, "Columns") or 0
    if rows < 1 or columns < 1:
        raise ImageRefused("damaged: its number of rows or columns is none")
    if rows * columns > MAX_PIXELS:
        raise ImageRefused(f"announces more than {MAX_PIXELS:,} pixels")


def _refuse_photometric(header: Dataset) -> None:
    photometric = text(header, "PhotometricInterpretation")
    if photometric not in GREY | COLOUR:
        raise ImageRefused("its photometric interpretation is missing or is none that is read")
    samples = number(header, "SamplesPerPixel")
    if samples != (1 if photometric in GREY or photometric == "PALETTE COLOR" else 3):
        raise ImageRefused("damaged: samples per pixel do not fit its photometric interpretation")


def _refuse_syntax(header: Dataset) -> None:
    """A transfer syntax (PS3.5, section 10 and annex A) must be named, known and decodable."""
    uid = text(getattr(header, "file_meta", Dataset()), "TransferSyntaxUID")
    if not uid:
        raise ImageRefused("names no transfer syntax, so its pixels cannot be decoded")
    name = uid_name(uid, "a transfer syntax that is not in the standard")
    try:
        decoder = get_decoder(UID(uid))
    except NotImplementedError:
        raise ImageRefused(f"its transfer syntax is not one of still images that are read: {name}") from None
    if not decoder.is_available:
        raise ImageRefused(f"no decoder is installed for its transfer syntax, {name}: {CODECS}")


def _why_not_decoded(header: Dataset) -> str:
    uid = UID(str(header.file_meta.TransferSyntaxUID))
    if not uid.is_compressed or uid.is_deflated:
        return "truncated or damaged: its pixel data are not as long as its header says"
    missing = " ".join(get_decoder(uid).missing_dependencies)
    deep = uid == JPEGExtended12Bit and (number(header, "BitsStored") or 8) > 8
    if deep and "pylibjpeg-libjpeg" in missing:
        return (
            f"no decoder is installed for {uid.name} with more than 8 bits; 'pip install pylibjpeg "
            "pylibjpeg-libjpeg' brings one, under the GPL"
        )
    if any(f"{plugin} - requires" in missing and need in missing for plugin, need in EXTRA_PLUGINS.items()):
        return (
            f"the installed decoder cannot read its pixel data ({uid.name}): "
            f"they are damaged, or need {CODECS}"
        )
    return f"its pixel data are damaged, or of a kind that no installed decoder for {uid.name} reads"
