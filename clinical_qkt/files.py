"""Files that are either whole or absent, and folders that can be trusted to take them."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from clinical_qkt.errors import OutputError


def write_whole(path: Path, write: Callable[[Path], Any]) -> None:
    """Let ``write`` make a temporary file beside ``path`` and put it in place at once.

    A crash, a full disk or a kill leaves the old file or none, never half of one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
    os.close(handle)
    part = Path(name)
    try:
        write(part)
        part.chmod(0o644)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole."""
    write_whole(path, lambda part: part.write_text(text, encoding="utf-8"))


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file whole; NaN is an error, since JSON has none."""
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    if re.search("[\ud800-\udfff]", text):  # of a file name that is no UTF-8: JSON has escapes for it
        text = json.dumps(content, indent=2, allow_nan=False)
    write_text(path, text + "\n")


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
