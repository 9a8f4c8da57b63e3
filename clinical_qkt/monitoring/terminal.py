"""A check on the terminal."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from clinical_qkt.monitoring import words
from clinical_qkt.monitoring.check import Check

_STYLES = {"alarm": "bold red", "quiet": "green", "not judged": "yellow"}


def show(console: Console, site: str, check: Check, folder: Path) -> None:
    """What was found, rule by rule, and where it is written."""
    table = Table(title=escape(f"{site}: check {check.name}"), title_justify="left")
    for heading in ("", "what", "found"):
        table.add_column(heading, overflow="fold")
    for row in words.rows(check):
        table.add_row(Text(row.state, _STYLES[row.state]), Text(row.what), Text(row.found))
    console.print(table)
    for line in words.sentences(check):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    console.print(f"Over time: {folder / 'monitoring.html'}", markup=False, highlight=False, soft_wrap=True)
