"""The second place: what ledgers hold, kept once more in one fixed file of this user on this machine.

A ledger is a file, and files are copied, restored and lost. The second place knows the lines of each ledger
that was used from here, which sites' answers it counts, and of which images. So it is noticed when a ledger
lacks lines that it once had, and when a site, or images under another pseudonym, come with another ledger. It
also holds the lines themselves, so that a lost ledger can be made whole. Whoever deletes both files is not
stopped by either.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import sqlite3
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from clinical_qkt.core.errors import InputError, OutputError
from clinical_qkt.core.state_folder import STATE, second_place
from clinical_qkt.site.ledger.file import changing, from_text

SHARED = 0.05
"""From this share of a site's images on, and from two, they are another ledger's images. Fewer are alike by
chance: a black frame, a picture that a data set holds twice."""

_TABLES = (
    "CREATE TABLE IF NOT EXISTS ledgers (ledger TEXT PRIMARY KEY, path TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS sites (site TEXT PRIMARY KEY, ledger TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS images (image TEXT PRIMARY KEY, ledger TEXT NOT NULL)",
    """CREATE TABLE IF NOT EXISTS lines (
    ledger TEXT NOT NULL, digest TEXT NOT NULL, line TEXT NOT NULL, PRIMARY KEY (ledger, digest))""",
    "CREATE TABLE IF NOT EXISTS salt (salt TEXT NOT NULL)",
)
MEND = "clinical-qkt ledger SITE.yaml --mend"


@contextmanager
def _second() -> Iterator[sqlite3.Connection]:
    fix = f"mend or restore the file, or name a folder that you may write to in {STATE}"
    with changing(second_place(), "the second count of private responses cannot be used", fix) as db:
        for table in _TABLES:
            db.execute(table)
        yield db


def require_same_ledger(site: str, images: Collection[str], ledger: str | None, where: Path) -> None:
    """Refuse another ledger for a site, or for images, whose answers one counts already.

    Args:
        images: digests of the images' files.
        ledger: its identity; None if it is not begun.

    Raises:
        InputError: names the other one, as far as it is known where it lies.
    """
    with _second() as db:
        _require_same(db, site, _salted(db, images), ledger, where)


def note(site: str, images: Collection[str], ledger: str, where: Path) -> None:
    """Keep which ledger counts a site's answers, and of which images, before the first of them is drawn.

    Raises:
        InputError: see ``require_same_ledger``.
    """
    with _second() as db:
        salted = _salted(db, images)
        _require_same(db, site, salted, ledger, where)
        db.execute("INSERT OR REPLACE INTO ledgers VALUES (?, ?)", (ledger, str(where.absolute())))
        db.execute("INSERT OR IGNORE INTO sites VALUES (?, ?)", (site, ledger))
        db.executemany("INSERT OR IGNORE INTO images VALUES (?, ?)", [(i, ledger) for i in salted])


def require_newest(ledger: str, held: Collection[str], where: Path) -> frozenset[str]:
    """Refuse a ledger that lacks lines which it once had: an older copy was put in its place.

    Gives the digests of the lines that are known here.

    Args:
        held: digests of its lines that count.

    Raises:
        OutputError: how many are missing.
    """
    with _second() as db:
        rows = db.execute("SELECT digest FROM lines WHERE ledger = ?", (ledger,))
        known = frozenset(row["digest"] for row in rows)
    missing = len(known - set(held))
    if missing:
        lines = "a line is" if missing == 1 else f"{missing} lines are"
        raise OutputError(
            f"is older than it was: {lines} missing of what this site has told",
            where=str(where),
            fix=f"restore the newer file; if it is lost, `{MEND}` puts the missing lines in",
        )
    return known


def follow(ledger: str, new: Mapping[str, str], where: Path) -> None:
    """Count lines here, too, by their digests, once a ledger holds them."""
    with _second() as db:
        db.execute("INSERT OR REPLACE INTO ledgers VALUES (?, ?)", (ledger, str(where.absolute())))
        lines = [(ledger, digest, line) for digest, line in new.items()]
        db.executemany("INSERT OR IGNORE INTO lines VALUES (?, ?, ?)", lines)


def told_by(site: str, ledger: str | None) -> tuple[str | None, list[dict[str, Any]]]:
    """What is known here of a site's answers: the ledger that counted them last, and its lines.

    Args:
        ledger: the identity of the one that the site has now, whose lines belong to it as well.
    """
    with _second() as db:
        row = db.execute("SELECT ledger FROM sites WHERE site = ?", (site,)).fetchone()
        last = row["ledger"] if row else ledger
        found = db.execute("SELECT line FROM lines WHERE ledger IN (?, ?) ORDER BY rowid", (last, ledger))
        return last, [from_text(row["line"]) for row in found]


def hand_over(before: str, ledger: str) -> None:
    """From now on another ledger counts what one has counted: all of its lines are in it."""
    with _second() as db:
        db.execute("UPDATE sites SET ledger = ? WHERE ledger = ?", (ledger, before))
        db.execute("UPDATE images SET ledger = ? WHERE ledger = ?", (ledger, before))


def _require_same(
    db: sqlite3.Connection, site: str, salted: Collection[str], ledger: str | None, where: Path
) -> None:
    row = db.execute("SELECT ledger FROM sites WHERE site = ?", (site,)).fetchone()
    if row and row["ledger"] != ledger:
        raise _another(db, "answers of this site are counted in another ledger", row["ledger"], where)
    wanted = "SELECT ledger, COUNT(*) AS n FROM images WHERE image IN (SELECT value FROM json_each(?))"
    for found in db.execute(f"{wanted} GROUP BY ledger", (json.dumps(list(salted)),)).fetchall():
        if found["ledger"] != ledger and found["n"] >= max(2, SHARED * len(salted)):
            told = "answers of these images, under whatever pseudonym, are counted in another ledger"
            raise _another(db, told, found["ledger"], where)


def _another(db: sqlite3.Connection, told: str, ledger: str, where: Path) -> InputError:
    row = db.execute("SELECT path FROM ledgers WHERE ledger = ?", (ledger,)).fetchone()
    at = row["path"] if row else "unknown place"
    return InputError(
        f"{told}, last seen at {at}",
        where=f"ledger: {where}",
        fix=f"write `ledger: {at}` into the site's YAML, or where it lies now; if it is lost, `{MEND}`",
    )


def _salted(db: sqlite3.Connection, images: Collection[str]) -> list[str]:
    """Digests that tell nothing to whoever has the file and no image."""
    row = db.execute("SELECT salt FROM salt").fetchone()
    salt = row["salt"] if row else secrets.token_hex(32)
    if not row:
        db.execute("INSERT INTO salt VALUES (?)", (salt,))
    key = bytes.fromhex(salt)
    return [hashlib.blake2b(i.encode(), key=key, digest_size=16).hexdigest() for i in set(images)]
