"""The ledger's file: its tables, an earlier version's brought up to date, and all-or-nothing changes."""

from __future__ import annotations

import contextlib
import datetime
import json
import secrets
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from clinical_qkt.core.errors import OutputError
from clinical_qkt.core.files import digest_of, made, private_folder
from clinical_qkt.core.state_folder import state_folder
from clinical_qkt.core.terms import EXACT

FIRST = (
    *("time", "asked_by", "query_sha256", "class", "kind", "data_sha256"),
    *("epsilon", "delta", "noise_multiplier", "release"),
)
"""Columns of an answer's line as the first version had them."""
LATER = {"unit": "TEXT", "form": "TEXT", "site": "TEXT", "own_class": "TEXT", "images": "BLOB"}
"""Columns that came later, with their types: NULL in lines of the first version. Nothing equals NULL, so that
such a line is never told again as if it were of today's form."""
COLUMNS = (*FIRST, *LATER)
MASK = "mask"
"""Kind of a line that keeps what was told of one class of a knowledge mask."""
LOOK = "look"
"""Kind of a line that keeps of which images a class was compared in an exact response for another one."""
ASSESSMENT = "assessment"
"""Kind of a line that keeps what was told of another site's model, measured on own test images."""
COUNTED = f"(noise_multiplier IS NOT NULL OR kind IN {(MASK, LOOK, ASSESSMENT, *EXACT)})"
"""Lines that decide what may still be told; a refusal is none of them."""

BEGIN = (
    "give --new_ledger true, if this site has never answered before, under whatever name and from whatever "
    "computer; else write where its ledger lies into the site's YAML: `ledger: FILE`"
)
"""What to do where a ledger is not begun."""

_TABLES = (
    """CREATE TABLE IF NOT EXISTS answers (
    id INTEGER PRIMARY KEY, time TEXT NOT NULL, asked_by TEXT NOT NULL, query_sha256 TEXT NOT NULL,
    class TEXT NOT NULL, kind TEXT NOT NULL, data_sha256 TEXT NOT NULL,
    epsilon REAL, delta REAL, noise_multiplier REAL, release TEXT NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS departures (
    id INTEGER PRIMARY KEY, time TEXT NOT NULL, kind TEXT NOT NULL, card_sha256 TEXT NOT NULL,
    tensors_sha256 TEXT NOT NULL, bytes INTEGER NOT NULL, sent_to TEXT NOT NULL, signed_with TEXT)""",
    """CREATE TABLE IF NOT EXISTS judged (
    id INTEGER PRIMARY KEY, time TEXT NOT NULL, test_sha256 TEXT NOT NULL, rule_sha256 TEXT NOT NULL,
    weights_sha256 TEXT NOT NULL, UNIQUE (test_sha256, rule_sha256, weights_sha256))""",
    "CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS kept (sha256 TEXT PRIMARY KEY, content BLOB NOT NULL)",
)


@contextmanager
def changing(path: Path, problem: str, fix: str) -> Iterator[sqlite3.Connection]:
    """An SQLite file in one change: all or nothing, and one process at a time. Made if it is missing.

    Raises:
        OutputError: the file cannot be used.
    """
    try:
        if path.is_relative_to(state_folder()):
            private_folder(state_folder())
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            made(path, private=True)
        with closing(sqlite3.connect(path, timeout=120, isolation_level=None)) as db:
            db.row_factory = sqlite3.Row
            db.execute("PRAGMA synchronous = FULL")
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                db.execute("ROLLBACK")
                raise
    except (sqlite3.Error, OSError) as e:
        raise OutputError(f"{problem} ({e})", where=str(path), fix=fix) from None


@contextmanager
def ledger_change(path: Path) -> Iterator[sqlite3.Connection]:
    """A ledger in one change, with today's tables."""
    fix = "mend or restore it, or name one that you may write to under 'ledger'; without it nothing leaves"
    with changing(path, "the ledger cannot be used", fix) as db:
        for table in _TABLES:
            db.execute(table)
        _bring_up_to_date(db, path)
        yield db


def _bring_up_to_date(db: sqlite3.Connection, path: Path) -> None:
    """Columns that an earlier version had not, and a mode that it did not set."""
    held = {row["name"] for row in db.execute("PRAGMA table_info(answers)")}
    missing = {name: kind for name, kind in LATER.items() if name not in held}
    for name, kind in missing.items():
        db.execute(f"ALTER TABLE answers ADD COLUMN {name} {kind}")
    if missing:
        with contextlib.suppress(PermissionError):  # another's file, who may have chosen its mode
            path.chmod(0o600)


def fact(db: sqlite3.Connection, name: str) -> str | None:
    """What a ledger says of itself."""
    row = db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
    return row["value"] if row else None


def set_fact(db: sqlite3.Connection, name: str, value: str) -> None:
    db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))


def identity(db: sqlite3.Connection) -> str:
    """Random digits by which a ledger is known wherever it is moved to; a copy has the same."""
    known = fact(db, "id")
    if known is None:
        known = secrets.token_hex(16)
        set_fact(db, "id", known)
    return known


def begun(db: sqlite3.Connection) -> bool:
    """Whether somebody said that it may count private responses; a first version's was not asked."""
    if fact(db, "begun"):
        return True
    return bool(counted(db))


def begin(db: sqlite3.Connection) -> None:
    """From now on it counts."""
    if not begun(db):
        set_fact(db, "begun", now())


def insert(db: sqlite3.Connection, row: Mapping[str, Any]) -> None:
    """An answer's line; what is not given is NULL."""
    marks = ", ".join("?" * len(COLUMNS))
    given = [row.get(name) for name in COLUMNS]
    db.execute(f"INSERT INTO answers ({', '.join(COLUMNS)}) VALUES ({marks})", given)


def counted(db: sqlite3.Connection, after: int = 0) -> list[dict[str, Any]]:
    """The lines that decide what may still be told, in their order, without their ids.

    Args:
        after: an id; lines that came later.
    """
    wanted = f"SELECT {', '.join(COLUMNS)} FROM answers WHERE {COUNTED} AND id > ? ORDER BY id"
    return [dict(row) for row in db.execute(wanted, (after,))]


def last(db: sqlite3.Connection) -> int:
    """The id of the last line."""
    return int(db.execute("SELECT COALESCE(MAX(id), 0) FROM answers").fetchone()[0])


def as_text(row: Mapping[str, Any]) -> str:
    """A line as JSON."""
    images = row["images"]
    return json.dumps({**row, "images": None if images is None else images.hex()}, sort_keys=True)


def from_text(text: str) -> dict[str, Any]:
    """The line again."""
    row: dict[str, Any] = json.loads(text)
    return {**row, "images": None if row["images"] is None else bytes.fromhex(row["images"])}


def by_digest(rows: Iterable[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Lines by the digests of all that they say."""
    return {digest_of(as_text(row)): row for row in rows}


def digests(rows: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Lines as JSON, by their digests."""
    return {digest_of(text): text for text in map(as_text, rows)}


def now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
