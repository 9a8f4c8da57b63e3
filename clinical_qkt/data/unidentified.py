"""What a file is that Pillow does not take as a picture, told by its first bytes."""

from __future__ import annotations

from pathlib import Path

from clinical_qkt.data.formats import ImageRefused
from clinical_qkt.data.misread import EXPORT
from clinical_qkt.data.signatures import ENOUGH, is_dicom, picture_kind, unread_kind

_POINTER = b"version https://git-lfs"
_PAGE = (b"<!doctype", b"<html")


def refusal(path: Path) -> ImageRefused:
    """Why a file is not read as a picture, with what to do."""
    with path.open("rb") as f:
        head = f.read(ENOUGH)
    if not head.strip(b"\0"):
        told = "it begins with nothing but zeros" if head else "the file is empty"
        return ImageRefused(f"not an image: {told}", fix="copy the file again")
    if head.startswith(_POINTER):
        return ImageRefused("not an image, but a pointer of Git LFS", fix="fetch the files with git lfs pull")
    if head.lstrip().lower().startswith(_PAGE):
        fix = "download the file again; a login may be needed"
        return ImageRefused("not an image, but a web page", fix=fix)
    if is_dicom(head):
        return ImageRefused("not a picture, but a DICOM file", fix="let its name end in .dcm")
    if ours := picture_kind(head) or ("BMP" if head.startswith(b"BM") else ""):
        told = f"not an image that is read: a {ours} file of a rare kind, or damaged"
        return ImageRefused(told, fix=EXPORT)
    if other := unread_kind(head):
        return ImageRefused(f"not an image that is read: a {other} file by its content", fix=EXPORT)
    return ImageRefused("not an image")
