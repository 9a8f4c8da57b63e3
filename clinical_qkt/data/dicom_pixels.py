"""The values that a DICOM image stores: decoded, and taken out of the bits that its header names.

References are to the DICOM standard: PS3.3 (objects), PS3.5 (encoding).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from pydicom import Dataset
from pydicom.encaps import generate_frames
from pydicom.pixels import get_decoder, pixel_array
from pydicom.uid import UID, JPEGExtended12Bit, JPEGTransferSyntaxes, RLELossless

from clinical_qkt.data.formats import ImageRefused
from clinical_qkt.data.headers import number, only_number, text
from clinical_qkt.data.jpeg import frame_of
from clinical_qkt.data.tables import coloured

Array = np.ndarray[Any, Any]

FLOATS = ("FloatPixelData", "DoubleFloatPixelData")
CODECS = "pip install 'clinical-qkt[codecs]'"
EXTRA_PLUGINS = {"gdcm": "gdcm", "pyjpegls": "pyjpegls", "pylibjpeg": "pylibjpeg-openjpeg"}
"""Decoders that the extra ``codecs`` brings, and what pydicom says it needs for them."""


@dataclass(frozen=True)
class Bits:
    """Where a sample lies in its cell (PS3.5, section 8.1.1): ``stored`` bits, the highest of them ``high``.

    Attributes:
        allocated: bits of a cell.
        signed: samples are two's complement.
    """

    allocated: int
    stored: int
    high: int
    signed: bool

    @property
    def range(self) -> tuple[int, int]:
        """The lowest and the highest value that a sample can have.

        >>> Bits(16, 12, 11, signed=True).range
        (-2048, 2047)
        """
        half = 1 << (self.stored - 1)
        return (-half, half - 1) if self.signed else (0, 2 * half - 1)


def bits_of(header: Dataset) -> Bits:
    """The bits of an image whose samples are integers; a missing High Bit counts as the usual one.

    Raises:
        ImageRefused: they are missing, or no cell can be like that.
    """
    allocated, stored, high, signed = (
        only_number(header, k) for k in ("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation")
    )
    if allocated is None or stored is None or signed not in (0, 1):
        raise ImageRefused("damaged: its bits allocated, bits stored or pixel representation is missing")
    found = Bits(int(allocated), int(stored), int(stored) - 1 if high is None else int(high), signed == 1)
    if not 1 <= found.stored <= found.allocated <= 64 or not found.stored - 1 <= found.high < found.allocated:
        raise ImageRefused("damaged: its bits allocated, bits stored and high bit do not fit together")
    return found


def holds_floats(header: Dataset) -> bool:
    """Whether the samples are floating point numbers, which have no bits stored (PS3.3, section C.7.6.24)."""
    return "PixelData" not in header and any(k in header for k in FLOATS)


def stored_values(header: Dataset) -> Array:
    """Stored values ``(rows, columns)``, or RGB ``(rows, columns, 3)``; call it within ``quiet``.

    Raises:
        ImageRefused: the pixel data are damaged, or no installed decoder reads them.
    """
    if holds_floats(header):
        found = _decoded(header)
    else:
        bits = bits_of(header)
        found = _decoded(header) if bits.high == bits.stored - 1 else _shifted(header, bits)
        if found.size and (found.min() < bits.range[0] or found.max() > bits.range[1]):
            raise ImageRefused("damaged: its pixels need more bits than its header says are stored")
    if text(header, "PhotometricInterpretation") == "PALETTE COLOR":
        found = coloured(header, found)
    if found.ndim not in (2, 3) or (found.ndim == 3 and found.shape[2] not in (3, 4)):
        raise ImageRefused("damaged: its pixel data are not one image")
    return found[..., :3] if found.ndim == 3 else found


def _decoded(header: Dataset, **options: Any) -> Array:
    for plugin in _plugins(header):
        try:
            return pixel_array(header, decoding_plugin=plugin, **options)
        except Exception:  # decoders raise anything, and may quote what they were given
            continue
    raise ImageRefused(_why_not_decoded(header))


def _plugins(header: Dataset) -> list[str]:
    """The decoders to try, in order.

    GDCM is none of several, and gets no stream that its markers tell to be damaged: such a stream makes it
    end the whole process.
    """
    decoder = get_decoder(UID(str(header.file_meta.TransferSyntaxUID)))
    if decoder.is_native:
        return [""]
    others = [p for p in decoder.available_plugins if p != "gdcm"]
    return others or (["gdcm"] if _is_whole(header) else [])


def _is_whole(header: Dataset) -> bool:
    """Whether a JPEG stream fits its header; other streams are not looked at."""
    if header.file_meta.TransferSyntaxUID not in JPEGTransferSyntaxes:
        return True
    try:
        found = frame_of(next(generate_frames(header.PixelData, number_of_frames=1)))
    except Exception:  # a damaged encapsulation can raise anything
        return False
    sizes = [number(header, k) for k in ("Rows", "Columns", "SamplesPerPixel")]
    fits = found is not None and [found.rows, found.columns, found.samples] == sizes
    return fits and found is not None and 2 <= found.bits <= (number(header, "BitsAllocated") or 0)


def _shifted(header: Dataset, bits: Bits) -> Array:
    """Samples that do not lie at the lower end of their cells, which pydicom takes for granted.

    Raises:
        ImageRefused: the image is compressed by something else than run lengths, which keep whole cells.
    """
    uid = UID(str(header.file_meta.TransferSyntaxUID))
    if uid.is_encapsulated and uid != RLELossless:
        raise ImageRefused("its high bit is not that of its bits stored, and it is compressed")
    cells = _decoded(header, bits_stored=bits.allocated, pixel_representation=0)
    width = 8 * cells.dtype.itemsize
    kind = "i" if bits.signed else "u"
    # The sample's highest bit becomes the cell's; the arithmetic shift back brings the sign along.
    upper = (cells << (width - 1 - bits.high)).view(f"{kind}{cells.dtype.itemsize}")
    return upper >> (width - bits.stored)


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
            f"they are truncated, damaged, or need {CODECS}"
        )
    return (
        f"its pixel data are truncated, damaged, or of a kind that no installed decoder for {uid.name} reads"
    )
