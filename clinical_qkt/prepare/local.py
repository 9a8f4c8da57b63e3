"""What of ``prepare``'s output never leaves the site: the salt, and which name stands for which file."""

from __future__ import annotations

import contextlib
import csv
import io
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from clinical_qkt.data.formats import name_of
from clinical_qkt.errors import OutputError
from clinical_qkt.files import require_writable
from clinical_qkt.prepare.salt import Salt

LOCAL = "local"
README = """This folder never leaves the site. It tells which file stands behind which name:

files.csv  names in datalist.json and the summary, with the original paths, and what became of each file
salt       the secret that the names of patients and files were made with; prepare --salt FILE uses it again
"""


@dataclass(frozen=True)
class Row:
    """One file's line in ``files.csv``."""

    name: str
    path: Path
    became: str
    reason: str = ""
    label: str = ""


@contextmanager
def whole_or_nothing(out: Path, local: LocalFolder, rows: Callable[[], Iterable[Row]]) -> Iterator[None]:
    """An output folder that is new, empty, or has seen a failed attempt; a failure leaves ``local/`` at most.

    Args:
        rows: what became of each file so far, for ``files.csv``; none if none was opened.

    Raises:
        OutputError: the folder holds something, or cannot be written to.
    """
    written = name_of(out.absolute(), whole=True)
    if written != os.fspath(out.absolute()):
        raise OutputError("its name is not UTF-8", where=written, fix="name another folder with --out")
    held = {p.name for p in out.iterdir()} if out.is_dir() else set()
    if (out.exists() and not out.is_dir()) or (held and (held != {LOCAL} or not local.ours())):
        raise OutputError("is not an empty folder", where=str(out), fix="name a new folder with --out")
    new = not out.exists()
    require_writable(out, where="--out")
    try:
        yield
    except BaseException:
        opened = list(rows())
        for path in out.iterdir():
            if path.name != LOCAL or (new and not opened):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        with contextlib.suppress(OSError):
            if opened:
                local.write_files(opened)
            elif new:
                out.rmdir()
        raise


class LocalFolder:
    """``local/`` in the output folder, which its owner alone may open.

    Args:
        folder: the folder itself; made if it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def ours(self) -> bool:
        """Whether the folder is one that an earlier attempt has made."""
        return (self.folder / "salt").is_file()

    def open(self, given: Path | None) -> Salt:
        """Make the folder and find the salt: the given one, that of an earlier attempt here, or a new one.

        Raises:
            InputError: the salt given is none.
        """
        kept = self.folder / "salt"
        salt = (
            Salt.read(given, "--salt")
            if given
            else Salt.read(kept, str(kept))
            if kept.is_file()
            else Salt.new()
        )
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        salt.write(kept)
        self._write("README.txt", README)
        return salt

    def write_files(self, rows: Iterable[Row]) -> None:
        """Which name stands for which file."""
        table = io.StringIO()
        writer = csv.writer(table, lineterminator="\n")
        writer.writerow(["name", "file", "became", "reason", "label"])
        for row in rows:
            path = name_of(row.path, whole=True)
            writer.writerow([row.name, path, row.became, row.reason, row.label])
        self._write("files.csv", table.getvalue())

    def _write(self, name: str, text: str) -> None:
        handle = os.open(self.folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as f:
            f.write(text)
