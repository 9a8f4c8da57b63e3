"""The record of all checks of a model: a file with one line each, to which lines are only added."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from clinical_qkt.core.errors import InputError, OutputError
from clinical_qkt.core.files import write_text
from clinical_qkt.monitoring.check import Check

FILE = "record.jsonl"


def read_record(folder: Path) -> list[Check]:
    """All checks in their order; of those with the same name the last one alone.

    Raises:
        InputError: a line is damaged.
    """
    path = folder / FILE
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    found: dict[str, Check] = {}
    for number, line in enumerate(lines, 1):
        try:
            check = Check.model_validate_json(line)
        except ValidationError:
            raise InputError(
                "is no check", where=f"{path}, line {number}", fix="take the file back from a backup"
            ) from None
        found.pop(check.name, None)
        found[check.name] = check
    return list(found.values())


def require_new(checks: list[Check], name: str, folder: Path, *, overwrite: bool) -> None:
    """Refuse a second check under a name: to try until one is quiet proves nothing.

    Raises:
        OutputError: there is one, and it may not be replaced.
    """
    if not overwrite and any(c.name == name for c in checks):
        raise OutputError(
            f"there is a check '{name}' already",
            where=str(folder / FILE),
            fix="give another --name, or --overwrite; the earlier line stays in the file",
        )


def add(folder: Path, check: Check) -> None:
    """Add a line; the file is whole at any time."""
    path = folder / FILE
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    write_text(path, before + check.model_dump_json() + "\n", private=True)
