"""Which kind of image a file holds, and the one way to say that it cannot serve."""

from __future__ import annotations

import os
import stat
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from clinical_qkt.data.signatures import ENOUGH, is_dicom, picture_kind, unread_kind

Kind = Literal["picture", "dicom", "nifti"]

SUFFIXES: dict[str, Kind] = {
    ".png": "picture",
    ".jpg": "picture",
    ".jpeg": "picture",
    ".jpe": "picture",
    ".jfif": "picture",
    ".bmp": "picture",
    ".tif": "picture",
    ".tiff": "picture",
    ".dcm": "dicom",
    ".nii": "nifti",
    ".nii.gz": "nifti",
}
NO_IMAGE = "is no image file"


class ImageRefused(ValueError):
    """Why a file cannot serve as an image.

    The message is a reason for the user. It names no file and quotes nothing from a header, since a header
    may name a patient.

    Args:
        fix: what to do about it, where that is not to copy or to convert the file.
    """

    def __init__(self, reason: str, *, fix: str = "") -> None:
        super().__init__(reason)
        self.fix = fix


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
            return "dicom" if is_dicom(f.read(ENOUGH)) else None
    except OSError:
        return None


def suffix_of(path: Path) -> str:
    """The suffix in lower case if it is one of ``SUFFIXES``, else an empty string.

    >>> suffix_of(Path("a.NII.gz")), suffix_of(Path("1.2.840"))
    ('.nii.gz', '')
    """
    name = path.name.lower()
    return next((s for s in sorted(SUFFIXES, key=len, reverse=True) if name.endswith(s)), "")


def name_of(path: Path, *, whole: bool = False) -> str:
    """A file's name as text: it is bytes, and those that are no UTF-8 are shown with their escapes.

    Args:
        whole: with the folders that lead to it.
    """
    return os.fsencode(path if whole else path.name).decode("utf-8", "backslashreplace")


@dataclass(frozen=True)
class Entry:
    """A file below a folder, or something that is none.

    Attributes:
        kind: what image it claims to be, see ``kind_of``; None for everything else.
        reason: why it is passed over; empty for an image.
    """

    path: Path
    kind: Kind | None
    reason: str = ""


def entries(folder: Path) -> list[Entry]:
    """Everything below a folder in order of paths, hidden files and folders aside.

    Links to folders are followed. A folder that can be reached in two ways is looked into once, and not by a
    link where there is another way.
    """
    found: list[Entry] = []
    links: deque[Path] = deque()
    seen = {os.path.realpath(folder)}
    _look_into(folder, found, links, seen)
    while links:
        link = links.popleft()
        real = os.path.realpath(link)
        if real in seen:
            found.append(Entry(link, None, "is a link to a folder that is looked into already"))
        else:
            seen.add(real)
            _look_into(link, found, links, seen)
    return sorted(found, key=lambda entry: entry.path)


def _look_into(folder: Path, found: list[Entry], links: deque[Path], seen: set[str]) -> None:
    """Take in a folder and the folders in it; links to folders are put aside."""
    try:
        paths = sorted(folder.iterdir())
    except OSError:
        found.append(Entry(folder, None, "is a folder that may not be opened"))
        return
    for path in paths:
        if path.name.startswith("."):
            continue
        if not stat.S_ISDIR(_mode(path)):
            found.append(_entry(path))
        elif path.is_symlink():
            links.append(path)
        elif (real := os.path.realpath(path)) not in seen:  # a link may have led here from above
            seen.add(real)
            _look_into(path, found, links, seen)


def _mode(path: Path, *, follow: bool = True) -> int:
    """What a path is, see ``stat``; 0 where nothing is, or nothing may be seen."""
    try:
        return path.stat(follow_symlinks=follow).st_mode
    except OSError:
        return 0


def _entry(path: Path) -> Entry:
    mode = _mode(path)
    if not mode and stat.S_ISLNK(_mode(path, follow=False)):
        return Entry(path, None, "is a link to nothing")
    if not stat.S_ISREG(mode):
        return Entry(path, None, "is no file" if mode else "may not be looked at")
    kind = kind_of(path)
    if kind is None:
        return Entry(path, None, _by_content(path))
    return Entry(path, kind)


def _by_content(path: Path) -> str:
    """Why a file is passed over whose name is no image's: it may be one all the same."""
    try:
        with path.open("rb") as f:
            head = f.read(ENOUGH)
    except OSError:
        return "is a file that may not be opened"
    if named := picture_kind(head):
        return f"is a {named} file by its content, and its name does not end so"
    unread = unread_kind(head)
    return f"is a {unread} file, which is not read: convert it to PNG" if unread else NO_IMAGE


def image_files(folder: Path) -> Iterator[Path]:
    """All image files below a folder, see ``entries``."""
    return (entry.path for entry in entries(folder) if entry.kind)


def missed(found: Iterable[Entry]) -> list[tuple[str, str]]:
    """``(file name, reason)`` of entries that may have been meant as images and cannot be looked at."""
    passed = [entry for entry in found if entry.reason not in ("", NO_IMAGE)]
    return [(name_of(entry.path), entry.reason) for entry in passed]


def passed_over(found: Iterable[Entry]) -> list[str]:
    """The same in words with counts."""
    reasons = Counter(reason for _, reason in missed(found))
    return [f"passed over: {count} × {reason}" for reason, count in reasons.most_common()]
