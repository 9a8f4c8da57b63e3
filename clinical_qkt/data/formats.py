"""Which kind of image a file holds, and the one way to say that it cannot serve."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

Kind = Literal["picture", "dicom", "nifti"]

SUFFIXES: dict[str, Kind] = {
    ".png": "picture",
    ".jpg": "picture",
    ".jpeg": "picture",
    ".bmp": "picture",
    ".tif": "picture",
    ".tiff": "picture",
    ".dcm": "dicom",
    ".nii": "nifti",
    ".nii.gz": "nifti",
}
PREFIX_AT, PREFIX = 128, b"DICM"
"""Where a DICOM file says that it is one (PS3.10, section 7.1)."""


class ImageRefused(ValueError):
    """Why a file cannot serve as an image.

    The message is a reason for the user. It names no file and quotes nothing from a header, since a header
    may name a patient.
    """


def kind_of(path: Path) -> Kind | None:
    """What a file claims to be: by its suffix and, where that says nothing, by DICOM's prefix.

    Files from a scanner have no suffix, or the last number of an identifier in its place.

    Returns:
        None for every other file, and for one that cannot be opened.
    """
    suffix = suffix_of(path)
    if suffix:
        return SUFFIXES[suffix]
    try:
        with path.open("rb") as f:
            f.seek(PREFIX_AT)
            return "dicom" if f.read(len(PREFIX)) == PREFIX else None
    except OSError:
        return None


def suffix_of(path: Path) -> str:
    """The suffix in lower case if it is one of ``SUFFIXES``, else an empty string.

    >>> suffix_of(Path("a.NII.gz")), suffix_of(Path("1.2.840"))
    ('.nii.gz', '')
    """
    name = path.name.lower()
    return next((s for s in sorted(SUFFIXES, key=len, reverse=True) if name.endswith(s)), "")


def image_files(folder: Path) -> Iterator[Path]:
    """All image files below a folder, in order of their paths; hidden files and folders are passed over."""
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if not hidden and path.is_file() and kind_of(path):
            yield path
