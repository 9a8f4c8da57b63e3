"""Files that are either whole or absent, and folders that can be trusted to take them."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
import shutil
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from clinical_qkt.core.errors import OutputError


def write_whole(path: Path, write: Callable[[Path], Any], *, private: bool = False) -> None:
    """Let ``write`` make a temporary file beside ``path`` and put it in place at once.

    A crash, a full disk or a kill leaves the old file or none, never half of one.

    Args:
        private: the file tells about patients: its owner alone may read it. Others get what the umask leaves.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}{path.suffix}")
    mode = made(part, private=private)
    try:
        write(part)
        if stat.S_IMODE(part.stat().st_mode) != mode:  # whoever wrote has made a new file
            part.chmod(mode)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def made(path: Path, *, private: bool = False) -> int:
    """Make a new, empty file, with its mode from the first moment on; gives the mode.

    Raises:
        FileExistsError: there is one.
    """
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if private else 0o666)
    try:
        return stat.S_IMODE(os.fstat(handle).st_mode)
    finally:
        os.close(handle)


def private_file(path: Path) -> Path:
    """A file that its owner alone may read, for programs that open it themselves; made if missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        made(path, private=True)
    _close(path)
    return path


def private_folder(path: Path) -> Path:
    """A folder that its owner alone may open, for what tells about patients; made if missing."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    _close(path)
    return path


def _close(path: Path) -> None:
    """Take others' rights away, which an earlier version left; a group that may write was let in by hand."""
    found = path.stat()
    mode = stat.S_IMODE(found.st_mode)
    kept = mode & ~0o007 if mode & stat.S_IWGRP else mode & ~0o077
    if kept != mode and found.st_uid == os.geteuid():
        path.chmod(kept)


def copy_private(source: Path, to: Path) -> None:
    """A whole copy that its owner alone may read."""
    write_whole(to, lambda part: shutil.copyfile(source, part), private=True)


def as_umask_says(folder: Path) -> None:
    """Give others the rights that the umask leaves, on a folder made for its owner alone and on its files."""
    probe = folder / f".{secrets.token_hex(8)}"
    handle = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o777)  # asking for it would change it
    left = stat.S_IMODE(os.fstat(handle).st_mode)
    os.close(handle)
    probe.unlink()
    for file in folder.iterdir():
        file.chmod(left & 0o666)
    folder.chmod(left | (folder.stat().st_mode & stat.S_ISGID))


def write_text(path: Path, text: str, *, private: bool = False) -> None:
    """Write a text file whole; see ``write_whole``."""
    write_whole(path, lambda part: part.write_text(text, encoding="utf-8"), private=private)


def write_json(path: Path, content: Any, *, private: bool = False) -> None:
    """Write a JSON file whole, see ``write_whole``; NaN is an error, since JSON has none."""
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    if re.search("[\ud800-\udfff]", text):  # of a file name that is no UTF-8: JSON has escapes for it
        text = json.dumps(content, indent=2, allow_nan=False)
    write_text(path, text + "\n", private=private)


def sha256(path: Path) -> str:
    """The SHA-256 of a file, as hexadecimal digits."""
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def digest_of(text: str) -> str:
    """The SHA-256 of a text, as hexadecimal digits."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def fingerprint(*facts: Any) -> str:
    """Twelve digits that change with anything that decides a result; names a folder for unfinished work."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:12]


def drop_unfinished(folder: Path) -> None:
    """Remove a stage's unfinished work once its result is in place; other stages keep theirs."""
    shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(OSError):
        folder.parent.rmdir()


def require_writable(folder: Path, *, where: str = "output folder") -> None:
    """Make the folder and try it out.

    Raises:
        OutputError: if it cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as e:
        raise OutputError(
            f"cannot write to '{folder}' ({e.strerror})",
            where=where,
            fix="name a folder that you may write to",
        ) from e
