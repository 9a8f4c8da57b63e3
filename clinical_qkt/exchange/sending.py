"""What goes: a letter is kept first, sealed when it is its turn, and lies here until its receipt has come."""

from __future__ import annotations

import datetime
import shutil
from contextlib import suppress
from pathlib import Path

from clinical_qkt.core.errors import InputError
from clinical_qkt.exchange.at_desk import AtDesk
from clinical_qkt.exchange.carriers.folder import Folder
from clinical_qkt.exchange.letters import Ask, Letter, Receipt, Reply, letter_id, now, write_letter
from clinical_qkt.exchange.parcel import SUFFIX, seal
from clinical_qkt.exchange.store import Row

AGAIN = datetime.timedelta(hours=1)
"""A letter without a receipt is left with the carrier once more after this."""


def outgoing(desk: AtDesk, letter: Ask | Reply, package: Path | None = None) -> str:
    """Keep a letter with a copy of its package, to be sent by the next sweep; gives its id."""
    text = letter.model_dump_json()
    identity = letter_id(text)
    if package is not None:
        to = desk.place("out") / identity
        shutil.rmtree(to, ignore_errors=True)
        shutil.copytree(package, to)
    desk.store.add(
        letter, text, "out", "ready", deadline=letter.deadline if isinstance(letter, Ask) else None
    )
    return identity


def receipt(desk: AtDesk, of: Letter, text_id: str, how: str) -> None:
    """Tell a letter's sender what became of it; once, as long as the last one has not left."""
    for row in desk.store.of("out", "receipt", "ready"):
        if isinstance(row.letter, Receipt) and row.letter.of == text_id:
            return
    letter = Receipt(
        exchange=of.exchange,
        sender=desk.site,
        receiver=of.sender,
        sent=now(),
        of=text_id,
        how=how,  # type: ignore[arg-type]
    )
    desk.store.add(letter, letter.model_dump_json(), "out", "ready")


def due(desk: AtDesk) -> list[Row]:
    """Letters that are to be left with the carrier: new ones, and those that nobody has acknowledged."""
    late = (now() - AGAIN).isoformat()
    return desk.store.rows(
        "direction = 'out' AND (state = 'ready' OR (state = 'sent' AND kind != 'receipt' AND changed < ?))",
        (late,),
    )


def send(desk: AtDesk, row: Row, carrier: Folder) -> None:
    """Seal a letter, if that was not done, and leave it with the carrier.

    Raises:
        InputError: this site's or the receiver's keys cannot be used.
        OutputError: the carrier cannot be reached, or the disk is full; it is sent by the next sweep.
    """
    parcel = sealed(desk, row)
    carrier.put(row.peer, parcel)
    desk.store.move(row, "sent", of=["ready", "sent"])
    if isinstance(row.letter, Receipt):
        parcel.unlink()


def sealed(desk: AtDesk, row: Row) -> Path:
    """The parcel of a letter, made once: the same bytes are sent again."""
    parcel = desk.place("out") / f"{row.id}{SUFFIX}"
    if parcel.is_file():
        return parcel
    package, content = desk.folder / "out" / row.id, parcel.with_suffix(".content")
    key = desk.sealed_for(row.peer)
    if write_letter(content, row.letter, desk.signing_key, package) != row.id:
        raise InputError(
            "a letter was written by another version of clinical-qkt",
            where=f"exchange {row.short}",
            fix="decline it or ask anew",
        )
    try:
        seal(parcel, row.letter.envelope, content, key)
    finally:
        content.unlink()
    return parcel


def forget_sent(desk: AtDesk, row: Row) -> None:
    """What need not lie here any more once the receiver has it; the letter itself stays."""
    with suppress(FileNotFoundError):
        (desk.folder / "out" / f"{row.id}{SUFFIX}").unlink()
    shutil.rmtree(desk.folder / "out" / row.id, ignore_errors=True)
