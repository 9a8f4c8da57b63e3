"""What a JPEG stream says of itself, read before a decoder that would not survive a damaged one.

References are to the JPEG standard, ITU-T T.81.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from struct import error, unpack_from

START, END = b"\xff\xd8", b"\xff\xd9"
PADDING = b"\0\xff"
SCAN, TABLES, ADOBE = 0xDA, 0xC4, 0xEE
FRAMES = {0xC0, 0xC1, 0xC2, 0xC3}
"""Markers of frames that DICOM allows (annex B.2.2): baseline, extended, progressive, lossless."""


@dataclass(frozen=True)
class Frame:
    """A frame's header: bits of a sample, and sizes."""

    bits: int
    rows: int
    columns: int
    samples: int


def frame_of(stream: bytes) -> Frame | None:
    """The one frame of a stream that is whole, as far as its markers tell.

    >>> frame_of(b"no stream") is None
    True

    Returns:
        None if it does not begin or end as a stream does, has no frame or several before its first scan,
        lacks the Huffman tables that its scan names, or names a conversion of colours that nobody knows.
    """
    if not stream.startswith(START) or not stream.rstrip(PADDING).endswith(END):
        return None
    try:
        segments = list(_segments(stream))
        frames = [segment for marker, segment in segments if marker in FRAMES]
        if len(frames) != 1 or not _has_tables(segments) or not _has_known_colours(segments):
            return None
        bits, rows, columns, samples = unpack_from(">BHHB", frames[0])
    except (error, IndexError, ValueError):
        return None
    return Frame(bits, rows, columns, samples) if len(frames[0]) == 6 + 3 * samples else None


def _segments(stream: bytes) -> Iterator[tuple[int, bytes]]:
    """Markers and their segments up to the first scan (annex B.1.1.4)."""
    place = 2
    while True:
        first, marker, length = unpack_from(">BBH", stream, place)
        if first != 0xFF or length < 2 or place + 2 + length > len(stream):
            raise ValueError("no segment")
        yield marker, stream[place + 4 : place + 2 + length]
        if marker == SCAN:
            return
        place += 2 + length


def _has_tables(segments: list[tuple[int, bytes]]) -> bool:
    """Whether each table that the first scan names is there (annex B.2.3 and B.2.4.2)."""
    scan = segments[-1][1]
    named = {scan[2 + 2 * k] >> 4 for k in range(scan[0])}
    return named <= {
        number for marker, segment in segments if marker == TABLES for number in _tables(segment)
    }


def _tables(segment: bytes) -> Iterator[int]:
    """Numbers of the tables for differences that a segment defines, each with all codes that it announces."""
    place = 0
    while place < len(segment):
        codes = sum(segment[place + 1 : place + 17])
        if place + 17 + codes > len(segment):
            raise ValueError("no table")
        if segment[place] < 16:
            yield segment[place]
        place += 17 + codes


def _has_known_colours(segments: list[tuple[int, bytes]]) -> bool:
    """Whether Adobe's segment, where there is one, names none, YCbCr or YCCK (ITU-T T.872, section 6.5.3)."""
    adobe = [s for marker, s in segments if marker == ADOBE and s.startswith(b"Adobe")]
    return all(len(s) >= 12 and s[11] in (0, 1, 2) for s in adobe)
