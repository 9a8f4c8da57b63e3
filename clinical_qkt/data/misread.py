"""Pictures that Pillow opens and reads wrongly, or only in part, without a word: these are refused.

Found by comparing it with tifffile and with files written by hand, Pillow 13.0. BMP: the header's fields
biBitCount and biClrUsed (BITMAPINFOHEADER). TIFF 6.0: Compression (259), PlanarConfiguration (284),
BitsPerSample (258); ImageDepth (32997) of libtiff, and the description (270) that ImageJ writes.
"""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from clinical_qkt.data.formats import ImageRefused

EXPORT = "export the pictures again, plain grey or RGB with 8 or 16 bits"
COMPRESSION, BITS, DESCRIPTION, PLANAR, IMAGE_DEPTH = 259, 258, 270, 284, 32997
UNCOMPRESSED, APART = 1, 2
_UNDECODED = {50001: "WebP", 34887: "LERC"}
"""Compressions that Pillow knows and its libtiff does not."""
_BIT_COUNT_AT = 28
"""Bytes before biBitCount in a BMP file."""


def refuse_misread(image: Image.Image, path: Path) -> None:
    """Look at an opened picture's header before its pixels are decoded.

    Raises:
        ImageRefused: Pillow would make something else of it than the file means.
    """
    if image.format == "BMP":
        _bmp(image, path)
    if image.format == "TIFF":
        _tiff(dict(image.tag_v2), image)  # type: ignore[attr-defined]


def entries_of(image: Image.Image) -> int:
    """How many colours the palette of an opened picture has; 256 where there is none.

    Only before its pixels are decoded, since Pillow then fills it up with black.
    """
    if image.mode != "P" or image.palette is None:
        return 256
    layout = (image.palette.rawmode or image.palette.mode).partition(";")[0]
    return len(bytes(image.palette.palette)) // len(layout)


def refuse_lost_colours(indices: Image.Image, entries: int) -> None:
    """
    Args:
        indices: a decoded picture; only one of mode P is looked at.
        entries: colours of its palette.

    Raises:
        ImageRefused: pixels have a colour that is not in the palette.
    """
    if indices.mode == "P" and int(np.asarray(indices).max()) >= entries:
        raise ImageRefused("damaged: pixels have colours that its palette lacks", fix=EXPORT)


def _bmp(image: Image.Image, path: Path) -> None:
    """Of a palette of black and white Pillow concludes that pixels have one bit, whatever the header says."""
    with path.open("rb") as f:
        f.seek(_BIT_COUNT_AT)
        (bits,) = struct.unpack("<H", f.read(2).ljust(2, b"\0"))
    if (image.mode == "1" and bits != 1) or (image.mode == "L" and bits != 8):
        raise ImageRefused(f"is a BMP file of {bits} bits whose short palette is read wrongly", fix=EXPORT)


def _tiff(tags: dict[int, Any], image: Image.Image) -> None:
    bits = tags.get(BITS, 1)
    deepest = max(bits) if isinstance(bits, tuple) else int(bits)
    packed = tags.get(COMPRESSION, UNCOMPRESSED)
    if packed in _UNDECODED:
        raise ImageRefused(f"is compressed as {_UNDECODED[packed]}, which is not decoded here", fix=EXPORT)
    if deepest > 8 and tags.get(PLANAR) == APART and isinstance(bits, tuple) and len(bits) > 1:
        raise ImageRefused("holds its colours one after the other, with more than 8 bits", fix=EXPORT)
    if deepest > 16 and packed != UNCOMPRESSED and image.tag_v2.prefix == b"MM":  # type: ignore[attr-defined]
        raise ImageRefused(f"holds compressed numbers of {deepest} bits, highest byte first", fix=EXPORT)
    held = re.search(r"^images=(\d+)", str(tags.get(DESCRIPTION, "")), re.MULTILINE)
    images = max(int(tags.get(IMAGE_DEPTH, 1)), int(held[1]) if held else 1)
    if images > 1:
        raise ImageRefused(f"holds {images} pages or frames; one image a file is read", fix=EXPORT)
