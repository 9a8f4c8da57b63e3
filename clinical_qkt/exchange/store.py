"""What a desk remembers: letters and their states, decisions, what was shown; an SQLite file at the site.

A letter is known by its place (direction, exchange, kind, peer): a second one there is the same letter again,
or is refused. Every change of state names the states that it may come from, so that of two who try one does.
"""

from __future__ import annotations

import datetime
import json
import sqlite3
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from clinical_qkt.exchange.letters import Ask, Letter, Receipt, Reply, letter_id, now
from clinical_qkt.site.ledger.file import changing

Direction = Literal["in", "out"]
State = Literal[
    "received",
    "waiting",
    "approved",
    "working",
    "ready",
    "sent",
    "taken",
    "answered",
    "verified",
    "declined",
    "refused",
    "expired",
    "closed",
    "failed",
]

_TABLES = (
    """CREATE TABLE IF NOT EXISTS letters (
    id TEXT PRIMARY KEY, direction TEXT NOT NULL, exchange TEXT NOT NULL, kind TEXT NOT NULL,
    peer TEXT NOT NULL, state TEXT NOT NULL,
    reason TEXT NOT NULL DEFAULT '', since TEXT NOT NULL, changed TEXT NOT NULL,
    deadline TEXT, text TEXT NOT NULL, preview TEXT, tries INTEGER NOT NULL DEFAULT 0)""",
    "CREATE INDEX IF NOT EXISTS places ON letters (direction, exchange, kind, peer)",
    """CREATE TABLE IF NOT EXISTS decisions (
    letter TEXT PRIMARY KEY, outcome TEXT NOT NULL, by TEXT NOT NULL, at TEXT NOT NULL, about TEXT NOT NULL,
    shown TEXT NOT NULL, reason TEXT NOT NULL)""",
    "CREATE TABLE IF NOT EXISTS notes (id INTEGER PRIMARY KEY, time TEXT NOT NULL, text TEXT NOT NULL)",
)


@dataclass(frozen=True)
class Row:
    """A letter at the desk.

    Attributes:
        id: the digest of its text.
        peer: the other site.
        since: when it came, or was written, by this site's clock.
        deadline: until when anything can be done about it; None of those that have none.
        preview: what would leave, as it was worked out for whoever decides; None before.
        tries: how often somebody began to work on it.
    """

    id: str
    direction: Direction
    letter: Ask | Reply | Receipt
    peer: str
    state: State
    reason: str
    since: datetime.datetime
    changed: datetime.datetime
    deadline: datetime.datetime | None
    preview: Mapping[str, Any] | None
    tries: int

    @property
    def ask(self) -> Ask:
        assert isinstance(self.letter, Ask)
        return self.letter

    @property
    def short(self) -> str:
        """By what a person names it."""
        return self.id[:8]


class Store:
    """The desk's file.

    Args:
        path: made on first use; its owner alone can open it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def change(self) -> Iterator[sqlite3.Connection]:
        """All or nothing.

        Raises:
            OutputError: the file cannot be used.
        """
        fix = "free some space, or name another folder under 'exchange: desk'; nothing was lost"
        with changing(self.path, "the desk's file cannot be used", fix) as db:
            for table in _TABLES:
                db.execute(table)
            yield db

    def add(
        self,
        letter: Letter,
        text: str,
        direction: Direction,
        state: State,
        *,
        reason: str = "",
        deadline: datetime.datetime | None = None,
    ) -> bool:
        """Keep a letter; False if it is known already, which changes nothing."""
        peer = letter.sender if direction == "in" else letter.receiver
        envelope, at = letter.envelope, now().isoformat()
        values = (letter_id(text), direction, envelope.exchange, envelope.kind, peer, state, reason, at, at)
        with self.change() as db:
            made = db.execute(
                "INSERT OR IGNORE INTO letters (id, direction, exchange, kind, peer, state, reason, since,"
                " changed, deadline, text) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (*values, deadline.isoformat() if deadline else None, text),
            )
            return made.rowcount == 1

    def at_place(self, letter: Letter, direction: Direction) -> Row | None:
        """The letter of this exchange, kind and peer that was there first and was not refused."""
        peer = letter.sender if direction == "in" else letter.receiver
        found = self.rows(
            "direction = ? AND exchange = ? AND kind = ? AND peer = ? AND state != 'refused'",
            (direction, letter.exchange, letter.envelope.kind, peer),
        )
        return found[0] if found else None

    def belonging(self, row: Row, direction: Direction, kind: str) -> list[Row]:
        """Letters of the same exchange with the same site, whatever became of them."""
        where = "exchange = ? AND peer = ? AND direction = ? AND kind = ?"
        return self.rows(where, (row.letter.exchange, row.peer, direction, kind))

    def move(
        self, row: Row | str, state: State, *, of: Collection[State], reason: str = "", preview: Any = None
    ) -> bool:
        """To another state; False if it is in none of those that it may come from.

        Args:
            preview: kept along, if there is one.
        """
        key = row if isinstance(row, str) else row.id
        marks = ", ".join("?" * len(of))
        with self.change() as db:
            done = db.execute(
                f"UPDATE letters SET state = ?, reason = ?, changed = ?,"
                f" preview = COALESCE(?, preview) WHERE id = ? AND state IN ({marks})",
                (
                    *(state, reason, now().isoformat()),
                    *(None if preview is None else json.dumps(preview), key),
                    *of,
                ),
            )
            return done.rowcount == 1

    def tried(self, row: Row | str, state: State) -> None:
        """Somebody begins, or began, to work on it; the state that it is in meanwhile."""
        with self.change() as db:
            db.execute(
                "UPDATE letters SET state = ?, changed = ?, tries = tries + 1 WHERE id = ?",
                (state, now().isoformat(), row if isinstance(row, str) else row.id),
            )

    def decide(
        self, row: Row, outcome: Literal["approved", "declined"], by: str, shown: Any, reason: str = ""
    ) -> bool:
        """Write a decision down and move the letter, in one change; False if it waits no more."""
        at = now().isoformat()
        with self.change() as db:
            moved = db.execute(
                "UPDATE letters SET state = ?, reason = ?, changed = ?, tries = 0 WHERE id = ? AND"
                " state IN ('waiting', 'failed')",
                (outcome, reason, at, row.id),
            )
            if moved.rowcount != 1:
                return False
            db.execute(
                "INSERT OR REPLACE INTO decisions VALUES (?, ?, ?, ?, ?, ?, ?)",
                (row.id, outcome, by, at, row.ask.about, json.dumps(shown), reason),
            )
            return True

    def decision(self, row: Row) -> Mapping[str, Any] | None:
        """Who decided what on a letter, and what was shown."""
        with self.change() as db:
            found = db.execute("SELECT * FROM decisions WHERE letter = ?", (row.id,)).fetchone()
        return None if found is None else {**dict(found), "shown": json.loads(found["shown"])}

    def note(self, text: str) -> None:
        """Write down what a person may want to know later."""
        with self.change() as db:
            db.execute("INSERT INTO notes (time, text) VALUES (?, ?)", (now().isoformat(), text))

    def notes(self, most: int = 20) -> list[tuple[str, str]]:
        """``(time, what)``, the latest ones, the first one first."""
        with self.change() as db:
            found = db.execute("SELECT time, text FROM notes ORDER BY id DESC LIMIT ?", (most,)).fetchall()
        return [(one["time"], one["text"]) for one in reversed(found)]

    def rows(self, where: str = "1", values: Collection[Any] = ()) -> list[Row]:
        """Letters, the first one first."""
        with self.change() as db:
            found = db.execute(f"SELECT * FROM letters WHERE {where} ORDER BY since, rowid", tuple(values))
            return [_row(one) for one in found.fetchall()]

    def of(self, direction: Direction, kind: str, *states: State) -> list[Row]:
        """Letters of a kind in some states; in all of them if none is named."""
        marks = f" AND state IN ({', '.join('?' * len(states))})" if states else ""
        return self.rows(f"direction = ? AND kind = ?{marks}", (direction, kind, *states))


def _row(one: sqlite3.Row) -> Row:
    kinds: dict[str, type[Ask] | type[Reply] | type[Receipt]]
    kinds = {"ask": Ask, "reply": Reply, "receipt": Receipt}
    letter = kinds[one["kind"]].model_validate_json(one["text"])
    at = {k: datetime.datetime.fromisoformat(one[k]) for k in ("since", "changed")}
    return Row(
        id=one["id"],
        direction=one["direction"],
        letter=letter,
        peer=one["peer"],
        state=one["state"],
        reason=one["reason"],
        deadline=datetime.datetime.fromisoformat(one["deadline"]) if one["deadline"] else None,
        preview=json.loads(one["preview"]) if one["preview"] else None,
        tries=one["tries"],
        **at,
    )
