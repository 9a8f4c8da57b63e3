"""What a file is that Pillow does not take as a picture, told by its first bytes."""

from __future__ import annotations

from pathlib import Path

from clinical_qkt.data.formats import PREFIX, PREFIX_AT, ImageRefused
from clinical_qkt.data.misread import EXPORT

_OURS = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
    b"BM": "BMP",
}
_OTHERS = {
    b"GIF8": "GIF",
    b"RIFF": "WebP",
    b"\0\0\0\x0cjP  ": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",
    b"%PDF": "PDF",
    b"\x1f\x8b": "gzip",
    b"PK\x03\x04": "zip",
}
_BRANDS = {b"heic": "HEIC", b"heix": "HEIC", b"mif1": "HEIF", b"msf1": "HEIF", b"avif": "AVIF"}
"""Of ISO base media files (ISO/IEC 14496-12), after ``ftyp``."""
_POINTER = b"version https://git-lfs"
_PAGE = (b"<!doctype", b"<html")


def refusal(path: Path) -> ImageRefused:
    """Why a file is not read as a picture, with what to do."""
    with path.open("rb") as f:
        head = f.read(PREFIX_AT + len(PREFIX))
    if not head.strip(b"\0"):
        told = "it begins with nothing but zeros" if head else "the file is empty"
        return ImageRefused(f"not an image: {told}", fix="copy the file again")
    if head.startswith(_POINTER):
        return ImageRefused("not an image, but a pointer of Git LFS", fix="fetch the files with git lfs pull")
    if head.lstrip().lower().startswith(_PAGE):
        fix = "download the file again; a login may be needed"
        return ImageRefused("not an image, but a web page", fix=fix)
    if ours := _first(_OURS, head):
        told = f"not an image that is read: a {ours} file of a rare kind, or damaged"
        return ImageRefused(told, fix=EXPORT)
    if head[PREFIX_AT:] == PREFIX:
        return ImageRefused("not a picture, but a DICOM file", fix="let its name end in .dcm")
    if other := _BRANDS.get(head[8:12], "") if head[4:8] == b"ftyp" else _first(_OTHERS, head):
        return ImageRefused(f"not an image that is read: a {other} file by its content", fix=EXPORT)
    return ImageRefused("not an image")


def _first(known: dict[bytes, str], head: bytes) -> str:
    return next((name for magic, name in known.items() if head.startswith(magic)), "")
