"""One line of what was found, and the stage that is looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from clinical_qkt.core.errors import QKTError

State = Literal["ok", "warning", "problem"]


@dataclass(frozen=True)
class Finding:
    """What was looked at, and what was found."""

    state: State
    what: str
    told: str
    fix: str = ""


def problem(what: str, error: QKTError) -> Finding:
    """An error that the stage itself would end with."""
    told = f"{error.where}: {error.problem}" if error.where else error.problem
    return Finding("problem", what, told, error.fix)
