"""The ledger: every package that left the site; of answers, what they spent of the privacy budget.

An SQLite file. A private release is looked up, checked against the budget, drawn and written down in one
transaction, so that two processes cannot both spend the last of the budget, and a crash leaves either nothing
or a line whose numbers can be sent again. Asked the same again, a site gives the same numbers: repeating a
question tells nothing new and costs nothing.
"""

from __future__ import annotations

import datetime
import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from clinical_qkt.composition import composed_epsilon
from clinical_qkt.errors import OutputError

if TYPE_CHECKING:  # whoever looks at a ledger need not wait for torch
    from clinical_qkt.privacy import Guarantee

_TABLE = """CREATE TABLE IF NOT EXISTS answers (
    id INTEGER PRIMARY KEY, time TEXT NOT NULL, asked_by TEXT NOT NULL, query_sha256 TEXT NOT NULL,
    class TEXT NOT NULL, kind TEXT NOT NULL, data_sha256 TEXT NOT NULL,
    epsilon REAL, delta REAL, noise_multiplier REAL, release TEXT NOT NULL)"""
_DEPARTURES = """CREATE TABLE IF NOT EXISTS departures (
    id INTEGER PRIMARY KEY, time TEXT NOT NULL, kind TEXT NOT NULL, card_sha256 TEXT NOT NULL,
    tensors_sha256 TEXT NOT NULL, bytes INTEGER NOT NULL, sent_to TEXT NOT NULL, signed_with TEXT)"""
_JUDGED = """CREATE TABLE IF NOT EXISTS judged (
    id INTEGER PRIMARY KEY, time TEXT NOT NULL, test_sha256 TEXT NOT NULL, rule_sha256 TEXT NOT NULL,
    weights_sha256 TEXT NOT NULL, UNIQUE (test_sha256, rule_sha256, weights_sha256))"""
_TOLERANCE = 1e-6
DIGITS = 8
"""Of a digest that are shown to people."""


class BudgetSpent(Exception):
    """A release would overrun the site's budget; nothing was drawn."""


@dataclass(frozen=True)
class Asked:
    """What makes an answer the same answer.

    Attributes:
        site: who asks.
        query_sha256: of the query's card.
        label: the class's name as in the query.
        kind: of the answer.
        data_sha256: of the site's datalist.
    """

    site: str
    query_sha256: str
    label: str
    kind: str
    data_sha256: str


@dataclass(frozen=True)
class Departure:
    """A package that leaves the site.

    Attributes:
        kind: ``model``, ``query`` or ``answer``.
        card_sha256, tensors_sha256: of its two files.
        sent_to: the receiver; empty if nobody was named.
        signed_with: fingerprint of the key; None if it is not signed.
    """

    kind: str
    card_sha256: str
    tensors_sha256: str
    bytes: int
    sent_to: str
    signed_with: str | None


class Ledger:
    """A site's ledger.

    Args:
        path: the file; made on first use.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def release(
        self,
        asked: Asked,
        guarantee: Guarantee,
        total: Guarantee,
        draw: Callable[[], Any],
    ) -> Any:
        """The release for what is asked: an earlier one again, or a new one if the budget allows it.

        Args:
            guarantee: of a new release.
            total: the budget, for all releases in the ledger together.
            draw: makes the release, as JSON data; called once at most.

        Raises:
            BudgetSpent: a new one would overrun the budget.
            OutputError: the file cannot be used.
        """
        key = (asked.query_sha256, asked.label, asked.kind, asked.data_sha256)
        same = (*key, guarantee.epsilon, guarantee.delta)
        with self._transaction() as db:
            earlier = db.execute(
                "SELECT release FROM answers WHERE query_sha256 = ? AND class = ? AND kind = ?"
                " AND data_sha256 = ? AND epsilon = ? AND delta = ?",
                same,
            ).fetchone()
            if earlier:
                return json.loads(earlier[0])
            spent = [m for (m,) in db.execute(_SPENT)]
            if (
                composed_epsilon([*spent, guarantee.noise_multiplier], total.delta)
                > total.epsilon + _TOLERANCE
            ):
                raise BudgetSpent
            release = draw()
            self._write(db, asked, release, guarantee)
            return release

    def record(self, asked: Asked, what: Any) -> None:
        """Write down an answer that spends no budget, or a refusal."""
        with self._transaction() as db:
            self._write(db, asked, what, None)

    def departed(self, departure: Departure) -> None:
        """Write down a package that leaves."""
        names = list(asdict(departure))
        marks = ", ".join("?" * (1 + len(names)))
        with self._transaction() as db:
            db.execute(
                f"INSERT INTO departures (time, {', '.join(names)}) VALUES ({marks})",
                (_now(), *asdict(departure).values()),
            )

    def judged(self, test_sha256: str, rule_sha256: str, weights_sha256: str) -> dict[str, Any]:
        """Write down that a new model is judged, and tell what was judged on these test images before.

        Whoever tries until a model passes, or until a rule does, finds one that passes by chance. The same
        model by the same rule is written down once, however often it is judged.

        Args:
            test_sha256: of the test images and their labels.
            rule_sha256: of the rule.
            weights_sha256: of the new model.

        Returns:
            ``{used_since, judged_before, rules_before}``: when the rule was first used on these images, how
            many other models were judged on them before, and by how many other rules anything was.
        """
        key = (test_sha256, rule_sha256, weights_sha256)
        with self._transaction() as db:
            db.execute(
                "INSERT OR IGNORE INTO judged (time, test_sha256, rule_sha256, weights_sha256)"
                " VALUES (?, ?, ?, ?)",
                (_now(), *key),
            )
            mine = "SELECT id FROM judged WHERE test_sha256 = ? AND rule_sha256 = ? AND weights_sha256 = ?"
            place = db.execute(mine, key).fetchone()[0]
            since = db.execute(
                "SELECT MIN(time) FROM judged WHERE test_sha256 = ? AND rule_sha256 = ?", key[:2]
            ).fetchone()[0]
            others = "SELECT COUNT(DISTINCT {0}) FROM judged WHERE test_sha256 = ? AND id < ? AND {0} != ?"
            before = {
                name: db.execute(others.format(column), (test_sha256, place, own)).fetchone()[0]
                for name, column, own in (
                    ("judged_before", "weights_sha256", weights_sha256),
                    ("rules_before", "rule_sha256", rule_sha256),
                )
            }
        return {"used_since": since, **before}

    def spent(self, delta: float) -> float:
        """The epsilon of all private releases together, at ``delta``."""
        with self._transaction() as db:
            return composed_epsilon([m for (m,) in db.execute(_SPENT)], delta)

    def lines(self, table: Literal["answers", "departures", "judged"] = "answers") -> list[dict[str, Any]]:
        """All answers by class, or all packages that left; the first one first."""
        with self._transaction() as db:
            found = db.execute(f"SELECT * FROM {table} ORDER BY id")
            names = [c[0] for c in found.description]
            return [dict(zip(names, row, strict=True)) for row in found]

    def _write(self, db: sqlite3.Connection, asked: Asked, release: Any, guarantee: Guarantee | None) -> None:
        cost = (guarantee.epsilon, guarantee.delta, guarantee.noise_multiplier) if guarantee else (None,) * 3
        db.execute(
            "INSERT INTO answers (time, asked_by, query_sha256, class, kind, data_sha256,"
            " epsilon, delta, noise_multiplier, release) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                _now(),
                asked.site,
                asked.query_sha256,
                asked.label,
                asked.kind,
                asked.data_sha256,
                *cost,
                json.dumps(release, allow_nan=False),
            ),
        )

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing, and one process at a time."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self.path, timeout=120, isolation_level=None)) as db:
                db.execute("PRAGMA synchronous = FULL")
                db.execute("BEGIN IMMEDIATE")
                try:
                    db.execute(_TABLE)
                    db.execute(_DEPARTURES)
                    db.execute(_JUDGED)
                    yield db
                    db.execute("COMMIT")
                except BaseException:
                    db.execute("ROLLBACK")
                    raise
        except (sqlite3.Error, OSError) as e:
            raise OutputError(
                f"the ledger cannot be used ({e})",
                where=str(self.path),
                fix="mend or restore the file; without it no private answer can leave",
            ) from None


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


_SPENT = "SELECT noise_multiplier FROM answers WHERE noise_multiplier IS NOT NULL"


def print_ledger(console: Console, ledger: Ledger, delta: float) -> None:
    """What left the site and what was answered, as tables; and what is spent."""
    left = Table(title=escape(f"packages in {ledger.path}"), title_justify="left")
    for heading in ("time (UTC)", "package", "to", "bytes", "card", "signed by"):
        left.add_column(heading, no_wrap=heading != "to", overflow="fold")
    left.caption = "card, signed by: the first digits of SHA-256 of the card and the key; all with --json"
    for line in ledger.lines("departures"):
        marks = (line[k][:DIGITS] if line[k] else "nobody" for k in ("card_sha256", "signed_with"))
        told = (line["kind"], Text(line["sent_to"]), f"{line['bytes']:,}")
        left.add_row(line["time"][:16].replace("T", " "), *told, *marks)
    console.print(left)
    table = Table(title=escape(f"answers in {ledger.path}"), title_justify="left")
    for heading in ("time (UTC)", "asked by", "class", "answer", "epsilon", "delta"):
        table.add_column(heading)
    for line in ledger.lines():
        release = json.loads(line["release"])
        declined = release is None or "declined" in release
        what = "declined" if declined else line["kind"].replace("_", " ")
        cost = [f"{line[k]:g}" if line[k] is not None else "" for k in ("epsilon", "delta")]
        table.add_row(line["time"][:19], Text(line["asked_by"]), Text(line["class"]), what, *cost)
    console.print(table)
    judged = ledger.lines("judged")
    if judged:
        sets = len({line["test_sha256"] for line in judged})
        models = len({line["weights_sha256"] for line in judged})
        console.print(f"Models that were judged by a rule: {models}, on {sets} sets of test images.")
    console.print(f"All private answers together: epsilon {ledger.spent(delta):.2f} at delta {delta:g}.")
