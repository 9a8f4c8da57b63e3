"""From a request to a reply: what would leave, and what becomes of it once somebody decided."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import IO, Any

from clinical_qkt.core.errors import PackageError, QKTError
from clinical_qkt.core.files import sha256
from clinical_qkt.data.label_space import LabelSpace
from clinical_qkt.exchange import policy, work
from clinical_qkt.exchange.at_desk import AtDesk
from clinical_qkt.exchange.letters import Reply, now, sent_files
from clinical_qkt.exchange.receiving import package_of, replied
from clinical_qkt.exchange.sending import outgoing, receipt
from clinical_qkt.exchange.store import Row
from clinical_qkt.packages import plain_json
from clinical_qkt.packages.signing import read_fingerprint
from clinical_qkt.site.decision import Decision
from clinical_qkt.site.ledger.ledger import Departure, Ledger

CARD, MODEL = "card.json", "model.safetensors"
_ENDED = {3: "the package was refused", 4: "nothing could be answered", 5: "the disk could not be used"}


def job(desk: AtDesk, row: Row) -> dict[str, Any]:
    """What ``examine`` has to know of a letter."""
    about: dict[str, Any] = {"id": row.id, "kind": row.letter.kind, "sender": row.peer}
    about |= {"letter": row.letter.model_dump_json(), "package": str(package_of(desk, row))}
    if row.letter.kind == "reply":
        asked = desk.store.belonging(row, "out", "ask")[0]
        about |= {"query": str(desk.query_dir), "wants": asked.ask.wants}
    return about


def found(desk: AtDesk, row: Row, told: dict[str, Any]) -> None:
    """What was found of a letter's package."""
    refused = told.get("refused")
    if row.letter.kind == "reply":
        replied(desk, row, "refused" if refused else "verified", refused or "")
    elif refused:
        desk.store.move(row, "refused", of=["received"], reason=refused)
        receipt(desk, row.letter, row.id, "refused")
    else:
        desk.store.move(row, "waiting", of=["received"], preview=told["preview"])


def of_model(desk: AtDesk, row: Row) -> dict[str, Any]:
    """What would leave to an ask for a model: the teacher package that `share` wrote, as it is."""
    card_file = desk.package_dir / CARD
    if not card_file.is_file():
        rows = [
            {"label": c.name, "what": "no teacher package lies here", "kind": None} for c in row.ask.classes
        ]
        return {"classes": rows, "missing": f"run `clinical-qkt run share {desk.yaml}` first"}
    card = plain_json.parse(card_file.read_bytes())
    known = LabelSpace(card["label_space"], where="label_space")
    rows = []
    for label in row.ask.classes:
        place = known.find(label)
        what = "is none of the model's classes" if place is None else f"the model knows {known[place].name}"
        rows.append({"label": label.name, "what": what, "kind": None if place is None else "model"})
    private = card.get("privacy", {}).get("training")
    size = sum(f.bytes for f in sent_files(desk.package_dir))
    return {"classes": rows, "card": sha256(card_file), "bytes": size, "private": private}


def approve(desk: AtDesk, row: Row, lock: IO[Any]) -> str:
    """Answer a request that was approved; gives what became of it."""
    decided = desk.store.decision(row)
    assert decided is not None
    if not desk.store.belonging(row, "out", "reply"):
        try:
            package = (_model if row.ask.wants == "model" else _worked)(desk, row, decided, lock)
        except QKTError as e:
            desk.store.move(row, "approved", of=["working"], reason=e.problem)
            return e.problem
        outgoing(desk, _reply(desk, row, files=sent_files(package)), package)
    desk.store.move(row, "answered", of=["working"])
    work.done(desk, row)
    return "answered"


def decline(desk: AtDesk, row: Row) -> None:
    """Tell the asker, once, that there is no answer."""
    if not desk.store.belonging(row, "out", "reply"):
        outgoing(desk, _reply(desk, row, declined=row.reason or "declined"))


def _reply(desk: AtDesk, row: Row, **what: Any) -> Reply:
    return Reply(
        exchange=row.letter.exchange,
        sender=desk.site,
        receiver=row.peer,
        sent=now(),
        about=row.ask.about,
        **what,
    )


def _worked(desk: AtDesk, row: Row, decided: Any, lock: IO[Any]) -> Path:
    decision = Decision(
        stage=work.ANSWERED[row.ask.wants],  # type: ignore[arg-type]
        about=row.ask.about,
        kinds=policy.leaving(decided["shown"]),
        by=decided["by"],
        at=datetime.datetime.fromisoformat(decided["at"]),
    )
    package, code = work.answer(desk, row, decision, lock, new_ledger=_new(desk, decided))
    if code:
        why = _ENDED.get(code, f"the stage ended with exit code {code}")
        raise PackageError(f"{why}; it is tried again")
    return package


def _new(desk: AtDesk, decided: Any) -> bool:
    """Whether a ledger is to be begun: somebody said so, and none was begun since."""
    return bool(decided["shown"].get("new_ledger")) and not Ledger(desk.ledger).is_begun()


def _model(desk: AtDesk, row: Row, decided: Any, lock: IO[Any]) -> Path:
    """The teacher package that was shown to whoever agreed, and the ledger's line of its going."""
    card = desk.package_dir / CARD
    if not card.is_file() or sha256(card) != decided["shown"].get("card"):
        raise PackageError("the teacher package is not the one that was agreed to; decide anew")
    files = sent_files(desk.package_dir)
    weights = next(f.sha256 for f in files if f.name == MODEL)
    size = sum(f.bytes for f in files)
    signed = read_fingerprint(desk.package_dir)
    Ledger(desk.ledger).departed(Departure("model", sha256(card), weights, size, row.peer, signed))
    return desk.package_dir
