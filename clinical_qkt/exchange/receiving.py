"""What comes: a parcel is opened, its letter kept, and a receipt written; once, however often it comes.

A parcel that is not as it should be leaves nothing at the desk but a note of what was wrong with it.
"""

from __future__ import annotations

import datetime
import secrets
import shutil
from pathlib import Path

from clinical_qkt.core.errors import PackageError
from clinical_qkt.exchange.at_desk import AtDesk
from clinical_qkt.exchange.letters import Ask, Receipt, Reply, UnknownSender, letter_id, now, read_letter
from clinical_qkt.exchange.parcel import read_envelope, unseal
from clinical_qkt.exchange.sending import forget_sent, receipt
from clinical_qkt.exchange.store import Row, State

CLOCKS = datetime.timedelta(hours=1)
"""So far ahead of this site's clock may a letter have been written."""
DIGITS = 16
"""Of a letter's id, in the name of its folder."""
WAITS: tuple[State, ...] = ("ready", "sent", "taken")
"""States of an ask that still waits for a reply."""


def package_of(desk: AtDesk, letter: Row | str) -> Path:
    """The folder of the package that a letter brought."""
    return desk.folder / "in" / (letter if isinstance(letter, str) else letter.id)[:DIGITS] / "package"


def receive(desk: AtDesk, parcel: Path) -> str:
    """Take a parcel in; gives what became of it, in words for this site's log of notes.

    Raises:
        PackageError: it is refused; nothing of it is kept.
        InputError: this site's own keys cannot be used.
        OutputError: the desk's disk cannot be used; the parcel may come again.
    """
    envelope = read_envelope(parcel)
    if envelope.receiver != desk.site:
        raise PackageError(f"is for '{envelope.receiver}'", fix="take it out of this site's mailbox")
    if envelope.sender not in desk.trusted_keys:
        raise UnknownSender(f"this site holds no key of '{envelope.sender}'")
    aside = desk.place("in", f".{secrets.token_hex(8)}")
    try:
        unseal(parcel, aside / "content", desk.opens)
        letter, text = read_letter(
            aside / "content", envelope, desk.site, desk.trusted_keys, aside / "letter" / "package"
        )
        (aside / "content").unlink()
        if isinstance(letter, Receipt):
            return _receipt(desk, letter)
        try:
            return _kept(desk, letter, text, aside / "letter")
        except PackageError:
            receipt(desk, letter, letter_id(text), "refused")
            raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _kept(desk: AtDesk, letter: Ask | Reply, text: str, lying: Path) -> str:
    """A letter that brings something, and the receipt for it."""
    store, known = desk.store, desk.store.at_place(letter, "in")
    if known is not None and known.id == letter_id(text):
        receipt(desk, letter, known.id, _how(known.state))
        return f"{letter.kind} of {letter.sender}: came once more"
    if known is not None:
        raise PackageError(
            f"uses the exchange of another letter of '{letter.sender}'",
            fix="the sender asks anew with `clinical-qkt exchange ask`",
        )
    state, reason = _asked(desk, letter) if isinstance(letter, Ask) else _answered(desk, letter)
    if state == "received" and letter.files:
        to = package_of(desk, letter_id(text)).parent
        shutil.rmtree(to, ignore_errors=True)  # of a process that ended between this line and the next
        lying.rename(to)
    store.add(letter, text, "in", state, reason=reason, deadline=_deadline(desk, letter))
    if isinstance(letter, Ask) or state != "received":  # of a reply, once its package was looked at
        receipt(desk, letter, letter_id(text), _how(state))
    if isinstance(letter, Reply) and state == "declined":
        _close(desk, letter, "declined", reason)
    return f"{letter.kind} of {letter.sender}: {state}{f', {reason}' if reason else ''}"


def _asked(desk: AtDesk, letter: Ask) -> tuple[State, str]:
    at = now()
    if letter.sent > at + CLOCKS:
        raise PackageError(
            "was written later than it is now, by this site's clock",
            fix="set the clock that is wrong, here or there; the sender then asks anew",
        )
    return ("expired", "came after its deadline") if letter.deadline <= at else ("received", "")


def _answered(desk: AtDesk, letter: Reply) -> tuple[State, str]:
    mine = _asked_by_us(desk, letter)
    if mine is None:
        raise PackageError(
            "answers nothing that this site asked that sender", fix="nothing is to be done here"
        )
    if mine.state not in WAITS:
        return "closed", "came when nobody waited for it any more"
    return ("received", "") if letter.declined is None else ("declined", letter.declined)


def _asked_by_us(desk: AtDesk, letter: Reply) -> Row | None:
    found = desk.store.rows(
        "direction = 'out' AND kind = 'ask' AND exchange = ? AND peer = ?", (letter.exchange, letter.sender)
    )
    return next((row for row in found if row.ask.about == letter.about), None)


def _close(desk: AtDesk, letter: Reply, state: State, reason: str) -> None:
    if mine := _asked_by_us(desk, letter):
        desk.store.move(mine, state, of=WAITS, reason=reason)


def replied(desk: AtDesk, reply: Row, state: State, reason: str = "") -> None:
    """What was found of a reply's package: the reply and the ask that it is to get their states."""
    assert isinstance(reply.letter, Reply)
    desk.store.move(reply, state, of=["received"], reason=reason)
    _close(desk, reply.letter, "answered" if state == "verified" else "refused", reason)
    receipt(desk, reply.letter, reply.id, _how(state))


def _receipt(desk: AtDesk, letter: Receipt) -> str:
    """What became of a letter of this site's own."""
    to: dict[str, State] = {"taken": "taken", "refused": "refused", "expired": "expired", "closed": "closed"}
    moved = desk.store.rows("id = ? AND direction = 'out' AND peer = ?", (letter.of, letter.sender))
    for row in moved:
        desk.store.move(row, to[letter.how], of=["ready", "sent"])
        forget_sent(desk, row)
    return f"receipt of {letter.sender}: {letter.how}"


def _deadline(desk: AtDesk, letter: Ask | Reply) -> datetime.datetime | None:
    """Until when a request can be decided on: by this site's own clock."""
    if isinstance(letter, Reply):
        return None
    return min(letter.deadline, now() + datetime.timedelta(days=desk.settings.deadline_days))


def _how(state: State) -> str:
    """What the sender is told: never what a person decides, nor why something is refused."""
    return state if state in ("refused", "expired", "closed") else "taken"
