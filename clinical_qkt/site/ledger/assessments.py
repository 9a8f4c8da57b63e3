"""What was told of other sites' models: each is kept, few are given, the same model gets the same figures.

Two models that differ by little differ by few images in what is told of them. So a site measures a limited
number of models for one asker and class, and never tells other figures of a model than it told before.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from typing import Any

from clinical_qkt.site.ledger import file
from clinical_qkt.site.ledger.ledger import Ledger, NoFurtherResponse
from clinical_qkt.site.ledger.lines import Requested, columns, same, write

NO_MORE = "this site measures no further model of this asker for this class"


def told_before(ledger: Ledger, requested: Requested) -> dict[str, Any] | None:
    """What was told of this very model; None if it was nothing."""
    if not ledger.path.exists():
        return None
    with file.ledger_change(ledger.path) as db:
        return _same(db, requested)


def refusal(ledger: Ledger, requested: Requested, limit: int) -> str | None:
    """Why nothing would be told of a model, or None."""
    if not ledger.path.exists():
        return None
    with file.ledger_change(ledger.path) as db:
        return None if _same(db, requested) is not None else _refused(db, requested, limit)


def tell(ledger: Ledger, requested: Requested, limit: int, figures: Mapping[str, Any]) -> dict[str, Any]:
    """Keep what is told of one class; of a model that was measured before, what was told then.

    Args:
        requested: ``query_sha256`` names the model, ``site`` the asker.
        limit: so many models are measured for an asker and a class, by the name here or the asker's.
        figures: plain JSON data.

    Raises:
        NoFurtherResponse: more were; nothing was written down.
        InputError: the ledger is not begun.
        OutputError: it cannot be used, or lacks lines that it once had.
    """
    with ledger.counting() as db:
        before = _same(db, requested)
        if before is not None:
            return before
        if reason := _refused(db, requested, limit):
            raise NoFurtherResponse(reason)
        write(db, columns(requested), dict(figures))
        return dict(figures)


def _same(db: sqlite3.Connection, requested: Requested) -> dict[str, Any] | None:
    found = same(db, columns(requested), "asked_by", "site", "form")
    return dict(found) if found is not None else None


def _refused(db: sqlite3.Connection, requested: Requested, limit: int) -> str | None:
    wanted = "SELECT class, own_class, query_sha256 FROM answers WHERE kind = ? AND asked_by = ?"
    names = {name.casefold() for name in (requested.label, requested.own_class) if name}
    models = {
        line["query_sha256"]
        for line in db.execute(wanted, (file.ASSESSMENT, requested.site))
        if names & {(line["class"] or "").casefold(), (line["own_class"] or "").casefold()}
    }
    return NO_MORE if len(models - {requested.query_sha256}) >= limit else None


def figures_of(line: Mapping[str, Any]) -> dict[str, Any]:
    """What a line of the ledger keeps."""
    return dict(json.loads(line["release"]))
