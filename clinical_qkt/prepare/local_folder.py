"""What of ``prepare``'s output never leaves the site: the salt, and which name stands for which file."""

from __future__ import annotations

import contextlib
import csv
import io
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from clinical_qkt.core.errors import InputError, OutputError
from clinical_qkt.core.files import private_folder, require_writable, write_whole
from clinical_qkt.core.spreadsheets import harmless
from clinical_qkt.data.formats import name_of
from clinical_qkt.prepare.pseudonyms import Salt

LOCAL, FILES, NAMES = "local", "files.csv", "names"
COLUMNS = ("name", "file", "became", "reason", "label")
README = """This folder never leaves the site. It tells which file stands behind which name:

files.csv  names in datalist.json and the summary, with the original paths, and what became of each file
salt       the secret that the names of patients and files were made with; prepare --salt FILE uses it again
names      patients' own names and numbers, as hashes with the salt: no card of a package may hold one of them
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
        private_folder(self.folder)
        salt.write(kept)
        self._write("README.txt", README)
        return salt

    def write_files(self, rows: Iterable[Row]) -> None:
        """Which name stands for which file."""
        table = io.StringIO()
        writer = csv.writer(table, lineterminator="\n")
        writer.writerow(COLUMNS)
        for row in rows:
            path = name_of(row.path, whole=True)
            writer.writerow(map(harmless, [row.name, path, row.became, row.reason, row.label]))
        self._write(FILES, table.getvalue())

    def write_names(self, salted: Iterable[str]) -> None:
        """By which names and numbers a patient is known; in no form that could be read."""
        self._write(NAMES, "".join(f"{name}\n" for name in sorted(salted)))

    def _write(self, name: str, text: str) -> None:
        content = text.encode("utf-8", "backslashreplace")
        write_whole(self.folder / name, lambda part: part.write_bytes(content), private=True)


def originals(local: Path, patients: Mapping[str, str | None]) -> list[tuple[str, str | None]]:
    """Where the images of a datalist come from, as ``prepare`` has kept it.

    Args:
        local: the folder beside the datalist; it need not be there.
        patients: by file name of an image; None where the datalist names none.

    Returns:
        Path and patient of each original.

    Raises:
        InputError: the list was changed and cannot be read.
    """
    path = local / FILES
    if not path.is_file():
        return []
    by_name = {name.partition(".")[0]: who for name, who in patients.items()}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return [(row["file"], by_name.get(row["name"])) for row in csv.DictReader(file)]
    except (csv.Error, KeyError, UnicodeDecodeError):
        fix = "take it back from a backup, or run `clinical-qkt prepare` again"
        raise InputError("is no longer the list that prepare wrote", where=str(path), fix=fix) from None


def names_kept(local: Path) -> Callable[[str], bool]:
    """Tells of a normal form whether ``prepare`` met it as the name of a patient; see ``patients``.

    Args:
        local: the folder beside the datalist; it need not be there.

    Raises:
        InputError: the salt is lost.
    """
    path = local / NAMES
    if not path.is_file():
        return lambda form: False
    salt, held = Salt.read(local / "salt", str(local / "salt")), set(path.read_text().split())
    return lambda form: salt.name("sought", form) in held
