"""Which models were judged on which test images by which rules: whoever tries long enough, passes."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from clinical_qkt.site.ledger.file import now


@dataclass(frozen=True)
class Judged:
    """What was judged on the same test images before.

    Attributes:
        used_since: when the rule was first used on them.
        judged_before: how many other models were judged on them.
        rules_before: by how many other rules anything was.
    """

    used_since: str
    judged_before: int
    rules_before: int


def judged(db: sqlite3.Connection, test_sha256: str, rule_sha256: str, weights_sha256: str) -> Judged:
    """Write down that a new model is judged, and tell what was judged on these test images before.

    Whoever tries until a model passes, or until a rule does, finds one that passes by chance. The same model
    by the same rule is written down once, however often it is judged.

    Args:
        test_sha256: of the test images and their labels.
        rule_sha256: of the rule.
        weights_sha256: of the new model.
    """
    key = (test_sha256, rule_sha256, weights_sha256)
    db.execute(
        "INSERT OR IGNORE INTO judged (time, test_sha256, rule_sha256, weights_sha256) VALUES (?, ?, ?, ?)",
        (now(), *key),
    )
    mine = "SELECT id FROM judged WHERE test_sha256 = ? AND rule_sha256 = ? AND weights_sha256 = ?"
    place = db.execute(mine, key).fetchone()[0]
    first = "SELECT MIN(time) FROM judged WHERE test_sha256 = ? AND rule_sha256 = ?"
    since = db.execute(first, key[:2]).fetchone()[0]
    return Judged(
        used_since=since,
        judged_before=_others(db, "weights_sha256", weights_sha256, test_sha256, place),
        rules_before=_others(db, "rule_sha256", rule_sha256, test_sha256, place),
    )


def _others(db: sqlite3.Connection, column: str, own: str, test_sha256: str, place: int) -> int:
    """How many other values a column had on the same test images before."""
    counted = (
        f"SELECT COUNT(DISTINCT {column}) FROM judged WHERE test_sha256 = ? AND id < ? AND {column} != ?"
    )
    return int(db.execute(counted, (test_sha256, place, own)).fetchone()[0])
