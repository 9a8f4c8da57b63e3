"""How many bits the values of a picture's file have, and what they mean where Pillow's mode does not tell.

PNG: W3C, Portable Network Graphics, sections on IHDR and sBIT. TIFF 6.0: BitsPerSample (258),
PhotometricInterpretation (262), ExtraSamples (338), SampleFormat (339).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from clinical_qkt.data.formats import ImageRefused

BITS, PHOTOMETRIC, EXTRA, SAMPLE_FORMAT = 258, 262, 338, 339
WHITE_IS_ZERO, SIGNED, UNSPECIFIED = 0, 2, 0
SIGNATURE = 8
"""Bytes before a PNG file's first chunk."""
GREY_TYPES = (0, 4)
"""Of IHDR: grey, and grey with alpha."""


@dataclass(frozen=True)
class Depth:
    """What a file says of its values.

    Attributes:
        bits: of each channel.
        sure: whether somebody wrote this depth down apart from the size of the file's integers.
        inverted: whether zero is white and Pillow leaves it so.
        signed: whether values may be below zero.
        grey: whether the file is grey where Pillow makes colour of it.
    """

    bits: int = 8
    sure: bool = True
    inverted: bool = False
    signed: bool = False
    grey: bool = False


def depth_of(image: Image.Image, path: Path) -> Depth:
    """The depth of an opened picture.

    Raises:
        ImageRefused: its channels have several depths, or there are more of them than colours and alpha.
    """
    if image.format == "PNG":
        return _png(path)
    if image.format == "TIFF":
        return _tiff(dict(image.tag_v2), image.mode)  # type: ignore[attr-defined]
    return Depth(1 if image.mode == "1" else 8)


def _png(path: Path) -> Depth:
    bits, colour, significant = 8, 0, b""
    for name, content in _chunks(path):
        if name == b"IHDR":
            bits, colour = content[8], content[9]
        elif name == b"sBIT":
            significant = content
        elif name == b"IDAT":
            break
    # Values fill the whole range even where sBIT tells of fewer bits at their origin, says the standard; some
    # writers do not scale. Only where it agrees with IHDR nothing is left to doubt.
    return Depth(bits, sure=bits <= 8 or significant[:1] == bytes([bits]), grey=colour in GREY_TYPES)


def _chunks(path: Path) -> Iterator[tuple[bytes, bytes]]:
    with path.open("rb") as f:
        f.seek(SIGNATURE)
        while len(head := f.read(8)) == 8:
            length, name = struct.unpack(">I4s", head)
            yield name, f.read(min(length, 64)) if name != b"IDAT" else b""
            f.seek(length - min(length, 64) + 4, 1)


def _tiff(tags: dict[int, Any], mode: str) -> Depth:
    bits = _all_of(tags.get(BITS, 1))
    if len(set(bits)) > 1:
        raise ImageRefused("its channels have several bit depths")
    if UNSPECIFIED in _all_of(tags.get(EXTRA, ())):
        raise ImageRefused("holds more channels than colours and alpha")
    return Depth(
        bits[0],
        sure=bits[0] not in (16, 32),  # nobody packs values in twelve bits by accident
        inverted=tags.get(PHOTOMETRIC) == WHITE_IS_ZERO and mode not in ("1", "L"),
        signed=SIGNED in _all_of(tags.get(SAMPLE_FORMAT, 1)),
        grey=tags.get(PHOTOMETRIC) in (0, 1),
    )


def _all_of(value: Any) -> tuple[int, ...]:
    return tuple(int(v) for v in value) if isinstance(value, tuple | list) else (int(value),)
