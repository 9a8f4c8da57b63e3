"""A person at the desk: which request is meant, and what follows from a yes or a no."""

from __future__ import annotations

from clinical_qkt.core.errors import InputError, QueryError, one_of
from clinical_qkt.exchange.answering import of_model
from clinical_qkt.exchange.at_desk import AtDesk
from clinical_qkt.exchange.letters import now
from clinical_qkt.exchange.policy import leaving
from clinical_qkt.exchange.store import Row
from clinical_qkt.site.ledger.ledger import Ledger

OPEN = ("waiting", "failed")


def request(desk: AtDesk, named: str) -> Row:
    """The request whose id begins so.

    Raises:
        InputError: there is none, or more than one.
    """
    rows = desk.store.of("in", "ask")
    found = [row for row in rows if row.id.startswith(named.lower())] if len(named) >= 4 else []
    if len(found) != 1:
        waiting = [row.short for row in rows if row.state in OPEN]
        raise InputError(
            "is the beginning of no request's id" if not found else "is the beginning of several ids",
            where=f"ID {named!r}",
            fix=one_of(named, waiting) if waiting else "nothing waits; see `clinical-qkt inbox`",
        )
    return found[0]


def require_open(row: Row) -> None:
    """
    Raises:
        QueryError: nothing can be decided about it any more.
    """
    if row.state in OPEN and row.deadline and row.deadline <= now():
        raise QueryError(
            "its deadline has passed: it is expired", where=f"request {row.short}", fix="they ask anew"
        )
    if row.state not in OPEN:
        told = "was not looked at yet" if row.state == "received" else f"is {row.state}"
        fix = "run `clinical-qkt exchange sweep`" if row.state == "received" else "nothing is to be done"
        raise QueryError(told, where=f"request {row.short}", fix=fix)


def shown(desk: AtDesk, row: Row) -> dict[str, object]:
    """What is shown to whoever decides; of a model, the package as it lies here now."""
    assert row.preview is not None
    return of_model(desk, row) if row.ask.wants == "model" else dict(row.preview)


def approve(desk: AtDesk, row: Row, by: str, what: dict[str, object], *, new_ledger: bool) -> None:
    """Write down that somebody agreed; the next sweep answers.

    Args:
        what: as it was shown.
        new_ledger: somebody said in so many words that a ledger is to be begun.

    Raises:
        QueryError: it is too late, or nothing would leave.
        InputError: no ledger counts what would be told.
    """
    require_open(row)
    if not leaving(what):
        raise QueryError(
            "nothing would leave",
            where=f"request {row.short}",
            fix=str(what.get("missing") or "decline it, with a reason"),
        )
    if row.ask.wants != "model" and not (new_ledger or Ledger(desk.ledger).is_begun()):
        raise InputError(
            "this site has no ledger yet, and a new one forgets all that the site has told before",
            where=f"ledger: {desk.ledger}",
            fix="give --new-ledger, if this site has never answered before, under whatever name and from "
            "whatever computer; else write where its ledger lies into the site's YAML: `ledger: FILE`",
        )
    if not desk.store.decide(row, "approved", by, {**what, "new_ledger": new_ledger}):
        raise QueryError(
            "was decided on meanwhile", where=f"request {row.short}", fix="nothing is to be done"
        )


def decline(desk: AtDesk, row: Row, by: str, reason: str) -> None:
    """Write down that somebody said no; the next sweep tells the asker, with the reason.

    Raises:
        QueryError: it is too late.
    """
    require_open(row)
    if not desk.store.decide(row, "declined", by, shown(desk, row), reason):
        raise QueryError(
            "was decided on meanwhile", where=f"request {row.short}", fix="nothing is to be done"
        )
