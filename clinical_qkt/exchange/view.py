"""Inbox, outbox and exchanges, as people see them at a terminal."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from clinical_qkt.core.terms import EXACT, guarantee
from clinical_qkt.exchange.at_desk import AtDesk
from clinical_qkt.exchange.collected import STAGES, collected
from clinical_qkt.exchange.policy import Earlier, history
from clinical_qkt.exchange.receiving import package_of
from clinical_qkt.exchange.store import Row

WANTS = {"statistics": "numbers of", "model": "a model of", "assessment": "counts of"}
STATES = {
    "received": "not looked at yet",
    "waiting": "waits for you",
    "approved": "approved, not answered yet",
    "working": "is being answered",
    "failed": "failed: look at it",
}
"""Of requests; the other states are their own words."""
ASKED = {"ready": "not sent yet", "sent": "sent", "taken": "lies with them"}


def show_inbox(desk: AtDesk, console: Console) -> None:
    """Who asks what, and what became of it; what waits comes last, where the eye is."""
    rows = sorted(desk.store.of("in", "ask"), key=lambda row: row.state in ("waiting", "failed"))
    table = Table(title=escape(f"Inbox of {desk.site}"), title_justify="left")
    for heading in ("id", "who", "asks for", "since", "until", "state"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        state = STATES.get(row.state, row.state)
        style = "bold yellow" if row.state in ("waiting", "failed") else ""
        cells = (row.short, row.peer, what_of(row), _day(row.since), _day(row.deadline), state)
        table.add_row(*map(Text, cells), style=style)
    console.print(table)
    waiting = sum(row.state == "waiting" for row in rows)
    if waiting:
        console.print(
            f"{waiting} wait{'s' if waiting == 1 else ''} for you: clinical-qkt inbox {desk.yaml} ID",
            markup=False,
        )


def what_of(row: Row) -> str:
    """What an ask is for."""
    names = ", ".join(c.name for c in row.ask.classes)
    return f"{WANTS[row.ask.wants]} {names or 'all classes (a reference)'}"


def show_request(desk: AtDesk, row: Row, shown: Mapping[str, Any], console: Console) -> None:
    """What would leave to one request, and what was answered to the same site before."""
    console.print(f"{row.peer} asks for {what_of(row)}; {STATES.get(row.state, row.state)}.", markup=False)
    why = [f"state: {row.reason}"] if row.reason else []
    for text in (*why, f"id: {row.id}", f"what it came with: {package_of(desk, row)}"):
        console.print(text, markup=False, soft_wrap=True)
    table = Table(title="This would leave:", title_justify="left")
    for heading in ("class", "answer", "own patients", "numbers, at most", "guarantee"):
        table.add_column(heading, overflow="fold")
    for one in shown.get("classes", []):
        promised = guarantee(*one["guarantee"]) if one.get("guarantee") else "none" if one["kind"] else ""
        cells = (
            one["label"],
            one["what"],
            str(one.get("patients", "-")),
            str(one.get("numbers", "-")),
            promised,
        )
        table.add_row(*map(Text, cells))
    console.print(table)
    for line in told_beside(shown):
        console.print(line, markup=False)
    for line in _before(history(desk.store), row):
        console.print(line, markup=False)
    if row.deadline:
        console.print(f"Until {_day(row.deadline)}; then it is expired.", markup=False)


def told_beside(shown: Mapping[str, Any]) -> list[str]:
    """What has to be said beside the table of what would leave."""
    kinds = {one["kind"] for one in shown.get("classes", []) if one["kind"]}
    told = []
    if kinds & set(EXACT):
        told.append(
            "Exact numbers have no guarantee: whoever holds an image can tell from a covariance, nearly "
            "without fault, whether it is among yours; from a mean or a diagonal more often than by guessing."
        )
    if "model" in kinds:
        how = "was trained with differential privacy" if shown.get("private") else "has no guarantee"
        told.append(f"The teacher package as it lies here, {shown['bytes']:,} bytes; the model {how}.")
    if shown.get("spent") is not None:
        told.append(f"Privacy budget: epsilon {shown['spent']:.2f} of {shown['total']:g} is spent.")
    if shown.get("missing"):
        told.append(str(shown["missing"]))
    return told


def _before(earlier: Iterable[Earlier], row: Row) -> list[str]:
    mine = [e for e in earlier if e.asker == row.peer]
    if not mine:
        return [f"Nothing was approved for {row.peer} at this desk before."]
    lines = [f"Approved for {row.peer} before:"]
    for e in mine[-10:]:
        again = ", the same query" if e.about == row.ask.about else ""
        what = ", ".join(f"{kind} of {name}" for name, kind in e.kinds.items())
        lines.append(f"  {_day(e.at)}: {what}{' (by policy)' if e.automatic else ''}{again}")
    return lines


def show_outbox(desk: AtDesk, console: Console) -> None:
    """What goes and went."""
    table = Table(title=escape(f"Outbox of {desk.site}"), title_justify="left")
    for heading in ("id", "to", "what", "since", "state"):
        table.add_column(heading, overflow="fold")
    for row in desk.store.rows("direction = 'out' AND kind != 'receipt'"):
        what = f"asks for {what_of(row)}" if row.letter.kind == "ask" else "reply"
        cells = (
            row.short,
            row.peer,
            what,
            _day(row.since),
            f"{row.state}{f': {row.reason}' if row.reason else ''}",
        )
        table.add_row(*map(Text, cells))
    console.print(table)


def show_status(desk: AtDesk, console: Console) -> None:
    """Each exchange that this site began: who has answered, who waits, declined, was refused and why."""
    table = Table(title=escape(f"What {desk.site} asked for"), title_justify="left")
    for heading in ("exchange", "site", "what", "until", "state"):
        table.add_column(heading, overflow="fold")
    for row in desk.store.of("out", "ask"):
        state = f"{ASKED.get(row.state, row.state)}{f': {row.reason}' if row.reason else ''}"
        cells = (row.letter.exchange[:8], row.peer, what_of(row), _day(row.deadline), state)
        table.add_row(*map(Text, cells))
    console.print(table)
    for line in next_lines(desk):
        console.print(line, markup=False, soft_wrap=True)
    for time, text in desk.store.notes():
        console.print(Text(f"{time[:16]} {text}"), style="dim", soft_wrap=True)


def next_lines(desk: AtDesk) -> list[str]:
    """What to do with packages that came and are in order."""
    lines = []
    for key, folders in collected(desk).items():
        listed = "[" + ",".join(f"'{f}'" for f in folders) + "]"
        lines.append(f'Use them: clinical-qkt run {STAGES[key]} {desk.yaml} --{key} "{listed}"')
    return lines


def facts(row: Row) -> dict[str, Any]:
    """A letter for scripts."""
    about: dict[str, Any] = {
        "id": row.id,
        "exchange": row.letter.exchange,
        "peer": row.peer,
        "state": row.state,
    }
    about |= {"reason": row.reason, "since": row.since.isoformat()}
    about |= {"deadline": row.deadline.isoformat() if row.deadline else None, "kind": row.letter.kind}
    if row.letter.kind == "ask":
        about |= {"wants": row.ask.wants, "classes": [c.name for c in row.ask.classes]}
    return about


def _day(at: datetime.datetime | None) -> str:
    return at.astimezone().strftime("%Y-%m-%d %H:%M") if at else ""
