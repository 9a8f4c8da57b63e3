"""What a file is by its first bytes, whatever it is called."""

from __future__ import annotations

ENOUGH = 132
"""Bytes of a file's start that are looked at."""
PREFIX_AT, PREFIX = 128, b"DICM"
"""Where a DICOM file says that it is one (PS3.10, section 7.1)."""
PICTURES = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
}
"""Kinds that are read. BMP is not here: its two letters begin many a text."""
_UNREAD = {
    b"GIF8": "GIF",
    b"\0\0\0\x0cjP  ": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",
    b"\xff\x0a": "JPEG XL",
    b"\0\0\0\x0cJXL ": "JPEG XL",
    b"8BPS": "Photoshop",
    b"NRRD000": "NRRD",
    b"ObjectType = Image": "MetaImage",
    b"NDims = ": "MetaImage",
}
_BRANDS = {
    b"heic": "HEIC",
    b"heix": "HEIC",
    b"heim": "HEIC",
    b"hevc": "HEIC",
    b"mif1": "HEIC",
    b"msf1": "HEIC",
    b"avif": "AVIF",
    b"avis": "AVIF",
}
"""Of ISO base media files (ISO/IEC 14496-12), after ``ftyp``."""


def picture_kind(head: bytes) -> str:
    """PNG, JPEG or TIFF; empty for anything else.

    >>> picture_kind(b"II*" + bytes(5))
    'TIFF'
    """
    return _first(PICTURES, head)


def unread_kind(head: bytes) -> str:
    """An image format that is not read; empty for anything else.

    >>> unread_kind(b"GIF89a")
    'GIF'
    """
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12], "")
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "WebP"
    return _first(_UNREAD, head)


def is_dicom(head: bytes) -> bool:
    """Whether DICOM's prefix stands where it belongs."""
    return head[PREFIX_AT:].startswith(PREFIX)


def _first(known: dict[bytes, str], head: bytes) -> str:
    return next((name for magic, name in known.items() if head.startswith(magic)), "")
