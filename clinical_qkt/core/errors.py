"""Problems that the person at the keyboard can fix.

Each carries where the problem is (a file and a field), what is wrong and what to do; the command line
prints just that and ends with the error's exit code. Anything else that is raised is a bug.
"""

from __future__ import annotations

import errno
import os
import traceback
from collections.abc import Sequence
from pathlib import Path


class QKTError(Exception):
    """A problem with what was put in, and its remedy.

    Args:
        problem: what is wrong, in one sentence.
        where: the file and the field, e.g. ``"site.yaml: query"``.
        fix: what to do about it.
    """

    exit_code = 2

    def __init__(self, problem: str, *, where: str = "", fix: str = "") -> None:
        self.problem, self.where, self.fix = problem, where, fix
        super().__init__(f"{where}: {problem}" if where else problem)

    def __str__(self) -> str:
        return super().__str__() + (f"\nTo fix it: {self.fix}" if self.fix else "")


class InputError(QKTError):
    """A file, an image, a label or a setting is wrong (exit code 2)."""


class PackageError(QKTError):
    """A package from another site is refused (exit code 3).

    Attributes:
        problems: all that is wrong with it, ``(where, what)``; empty if there is one thing alone.
    """

    exit_code = 3
    problems: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, problems: Sequence[tuple[str, str]], *, where: str, fix: str) -> PackageError:
        """One error for one problem or many.

        Args:
            problems: ``(file in the package, what is wrong)``.
            where: the package's folder.
        """
        if len(problems) == 1:
            file, what = problems[0]
            return cls(what, where=f"{where}/{file}" if file else where, fix=fix)
        told = "".join(f"\n  {file + ': ' if file else ''}{what}" for file, what in problems)
        error = cls(f"refused, {len(problems)} things are wrong:{told}", where=where, fix=fix)
        error.problems = tuple(problems)
        return error


class QueryError(QKTError):
    """The query cannot be served: known already, known to nobody, or declined (exit code 4)."""

    exit_code = 4


class OutputError(QKTError):
    """The output folder cannot be used (exit code 5)."""

    exit_code = 5


def one_of(name: str, known: list[str]) -> str:
    """A hint that names the likeliest of the known names, and all of them."""
    close = likeliest(name, known)
    hint = f"did you mean '{close}'? " if close else ""
    return f"{hint}known: {', '.join(known)}"


def likeliest(name: str, known: list[str]) -> str | None:
    """The known name that a misspelt one was most likely meant to be; None if none is like it."""
    from difflib import get_close_matches

    return next(iter(get_close_matches(name, known, n=1)), None)


_SPACE = "free some space there, or name another disk"
_RIGHTS = "ask for the right to write there, or name another folder"
_DISK = {
    errno.ENOSPC: ("the disk is full", _SPACE),
    errno.EDQUOT: ("the disk quota is used up", _SPACE),
    errno.EFBIG: ("the file is larger than the disk allows", "name another disk"),
    errno.EROFS: ("the disk is read-only", "name a folder that can be written to"),
    errno.EACCES: ("access is not permitted", _RIGHTS),
    errno.EPERM: ("access is not permitted", _RIGHTS),
    errno.EIO: ("the disk gives errors", "have the disk looked at, or name another one"),
    errno.EMFILE: ("too many files are open", "raise the limit with `ulimit -n`"),
    errno.ENAMETOOLONG: ("a name is too long for the disk", "name a shorter path"),
    errno.ELOOP: ("links lead to each other", "name the folder itself"),
    errno.EISDIR: ("is a folder where a file is expected", "name a file"),
    errno.ENOTDIR: ("is a file where a folder is expected", "name a folder"),
    errno.ENOMEM: ("the memory does not suffice", "set a smaller 'batch_size', or end other programs"),
}
"""What the operating system says that a person can mend."""
_OF_WRITING = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}
_SAID = {
    "no space left on device": errno.ENOSPC,
    "(os error 28)": errno.ENOSPC,
    "database or disk is full": errno.ENOSPC,
    "file write failed": errno.ENOSPC,
    "disk quota exceeded": errno.EDQUOT,
    "(os error 122)": errno.EDQUOT,
    "file too large": errno.EFBIG,
    "read-only file system": errno.EROFS,
    "(os error 30)": errno.EROFS,
    "attempt to write a readonly database": errno.EROFS,
    "permission denied": errno.EACCES,
    "unable to open database file": errno.EACCES,
    "disk i/o error": errno.EIO,
    "input/output error": errno.EIO,
    "out of memory": errno.ENOMEM,
    "can't allocate memory": errno.ENOMEM,
}
"""The same in the words of SQLite, safetensors and torch, whose errors carry no number."""


_SHARED = (
    "the shared memory (/dev/shm) is too small for worker processes",
    "raise it, such as with `docker run --shm-size=2g`, or set 'num_workers' to 0",
)
_ENDED = (
    "a worker process was ended; the memory may not suffice",
    "end other programs, or set 'num_workers' to 0",
)
_OPEN = (
    "too many files are open",
    "raise the limit, such as with `ulimit -n 4096`, or set 'num_workers' to 0",
)
_WORKERS = {
    "too many open files": _OPEN,
    "items of ancdata": _OPEN,
    "shared memory": _SHARED,
    "bus error": _SHARED,
    "write to file </torch_": _SHARED,
    "dataloader worker (pid": _ENDED,
}
"""What PyTorch says of the processes of a loader; before ``_SAID``, since shared memory is no disk."""
_HANDING_OVER = "multiprocessing.resource_sharer"
"""Asks a worker for its batch; of one that ended it tells a broken connection."""


def explained(error: BaseException | None, folder: str | Path = "") -> QKTError | None:
    """The user's problem behind an error: itself, one of its causes, or a disk that could not take a file.

    MONAI, pydantic and MLflow wrap what they run into, so the chain of causes is walked.

    Args:
        folder: into which was written, where the error does not tell.

    Returns:
        None for what no user could mend: a bug.
    """
    while error is not None:
        if isinstance(error, QKTError):
            return error
        if told := _of_workers(error):
            return OutputError(told[0], where="num_workers", fix=told[1])
        if (number := _number(error)) in _DISK:
            what, fix = _DISK[number]
            return OutputError(what, where=_folder(error) or str(folder), fix=fix)
        error = error.__cause__ or _behind(error)
    return None


def memory_is_short(error: BaseException) -> bool:
    """Whether the memory of the machine or of its GPU did not suffice, as far as PyTorch and Python tell.

    >>> memory_is_short(RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"))
    True
    """
    return _number(error) == errno.ENOMEM


def _behind(error: BaseException) -> BaseException | None:
    """A failed writing that another error hides: torch's writer raises one of its own when it is closed."""
    hidden = error.__context__
    return hidden if isinstance(hidden, OSError) and hidden.errno in _OF_WRITING else None


def _of_workers(error: BaseException) -> tuple[str, str] | None:
    if isinstance(error, OSError | EOFError) and _HANDING_OVER in _modules(error):
        return _ENDED
    text = str(error).lower() if isinstance(error, RuntimeError) else ""
    return next((told for said, told in _WORKERS.items() if said in text), None)


def _modules(error: BaseException) -> set[str]:
    """Names of those that the error came through."""
    return {frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(error.__traceback__)}


def _number(error: BaseException) -> int:
    """Of an error of the operating system; 0 for others."""
    if isinstance(error, OSError) and error.errno:
        return error.errno
    if isinstance(error, MemoryError):
        return errno.ENOMEM
    text = str(error).lower() if isinstance(error, Exception) else ""
    return next((number for said, number in _SAID.items() if said in text), 0)


def _folder(error: BaseException) -> str:
    """The folder in which a file could not be written or read; not the file, which may be a telling image."""
    name = getattr(error, "filename", None)
    return str(Path(os.fsdecode(name)).parent) if isinstance(name, str | bytes) else ""
