"""Before anything leaves a site: what it is, shown to those who are there, and a question."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.prompt import Confirm
from rich.table import Table

from clinical_qkt.errors import InputError
from clinical_qkt.policy import Policy


@dataclass(frozen=True)
class Preview:
    """One class of an answer that is about to leave; for the eyes of this site alone.

    Attributes:
        label: the class.
        what: the kind of answer, or why there is none.
        patients: whose images it is made of; None if nothing was looked at.
        numbers: how many would leave.
        private: whether they are noised.
    """

    label: str
    what: str
    patients: int | None
    numbers: int
    private: bool


def require_consent(
    asker: str, rows: Sequence[Preview], policy: Policy, spent: float, folder: Path, *, yes: bool
) -> None:
    """Show what is about to leave, and ask unless that was answered beforehand.

    Args:
        spent: the epsilon of all earlier answers together.

    Raises:
        InputError: nobody said yes.
    """
    console = Console(stderr=True)
    table = Table(title=f"{asker} asks; this would leave:", title_justify="left")
    for heading in ("class", "answer", f"own {policy.unit}s", "numbers", "guarantee"):
        table.add_column(heading)
    for row in rows:
        guarantee = f"({policy.epsilon:g}, {policy.delta:g})-private" if row.private else "none"
        patients = "-" if row.patients is None else str(row.patients)
        table.add_row(row.label, row.what, patients, str(row.numbers), guarantee if row.numbers else "")
    console.print(table)
    console.print(
        f"Privacy budget: epsilon {spent:.2f} of {policy.total_epsilon:g} is spent. "
        f"How many {policy.unit}s there are is shown here only."
    )
    if yes:
        return
    if not sys.stdin.isatty():
        raise InputError(
            "nobody is there to agree to what would leave",
            where="answer",
            fix="give --yes true, or run it in a terminal",
        )
    if not Confirm.ask(f"Write the answer to {folder}?", console=console, default=False):
        raise InputError("was not agreed to; nothing was written", where="answer", fix="answer y to write it")
