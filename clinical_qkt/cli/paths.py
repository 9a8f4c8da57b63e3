"""Whether the paths of a command exist, before anything heavy is loaded to read them.

The readers themselves check more; they are to say the same of what is checked here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from clinical_qkt.core.errors import InputError, OutputError, PackageError


def require_source(path: Path, out: Path) -> None:
    """What ``prepare`` reads is there, and where it writes is nothing yet.

    Raises:
        InputError: the source does not exist.
        OutputError: the folder holds something; a ``local`` of an earlier attempt may stay.
    """
    require_exists(path, where="SOURCE")
    held = {p.name for p in out.iterdir()} - {"local"} if out.is_dir() else set()
    if held or (out.exists() and not out.is_dir()):
        raise OutputError("is not an empty folder", where=str(out), fix="name a new folder with --out")


def require_exists(path: Path | None, *, where: str, fix: str = "check the path") -> None:
    """A file or a folder is there, if one is named.

    Raises:
        InputError: it is not.
    """
    if path is not None and not path.exists():
        raise InputError("does not exist", where=where, fix=fix)


def require_packages(folders: Iterable[Path]) -> None:
    """Folders that may be packages.

    Raises:
        PackageError: one is not there, or is a file.
    """
    for folder in folders:
        if not folder.exists():
            raise PackageError("there is no such folder", where=str(folder), fix="check the path")
        if not folder.is_dir():
            told = "is no folder: packages are folders"
            raise PackageError(told, where=str(folder), fix="unpack an archive first")


def require_new_folder(out: Path) -> None:
    """Where a command writes a folder, there is none yet, or an empty one.

    Raises:
        OutputError: it holds something.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OutputError("is not an empty folder", where=str(out), fix="name a new folder")


def require_runs(names: Sequence[str], *, stored: bool) -> None:
    """Transfers to be compared: two at least, and each is there unless it may be in MLflow.

    Args:
        stored: it was said where runs are looked up.

    Raises:
        InputError: one alone, or one that is not there.
    """
    if len(names) < 2:
        raise InputError("one transfer alone cannot be compared", where="RUN", fix="name two or more")
    absent = [name for name in names if not stored and not Path(name).exists()]
    if absent:
        fix = "give a transfer's folder or its summary.json; for a run in MLflow also --mlflow URI or --site"
        raise InputError("there is no such file or folder", where=f"RUN {absent[0]!r}", fix=fix)
