"""One round at the desk: fetch, look, decide what policy may decide, expire, work, send. Then it ends.

Nothing waits for a person or for another site: who approves tomorrow is served by tomorrow's sweep. Killed at
any moment, the next one goes on where it was: each step is either done or begun anew, and nothing is told or
spent twice.
"""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import IO, Any

from clinical_qkt.core.errors import OutputError, PackageError, QKTError
from clinical_qkt.core.files import private_file
from clinical_qkt.exchange import answering, policy, receiving, work
from clinical_qkt.exchange.at_desk import AtDesk
from clinical_qkt.exchange.carriers.folder import Folder, Waiting
from clinical_qkt.exchange.collected import is_query
from clinical_qkt.exchange.letters import UnknownSender, now
from clinical_qkt.exchange.sending import due, send
from clinical_qkt.exchange.store import Row
from clinical_qkt.site.ledger.ledger import Ledger

TRIES = 3
"""After so many that ended otherwise than they should, a person is asked."""


class Sweep:
    """One round.

    Args:
        say: is told each step, for whoever watches.
    """

    def __init__(self, desk: AtDesk, say: Callable[[str], None]) -> None:
        self.desk, self.store, self.say = desk, desk.store, say
        self.unreached = False

    def run(self) -> bool:
        """Do what can be done now; False if another sweep is at work, or the carrier was not reached.

        Raises:
            InputError: this site's YAML or keys cannot be used.
            OutputError: the desk's disk cannot be used.
        """
        with held(self.desk) as lock:
            if lock is None:
                self.say("another sweep is at work; this one does nothing")
                return False
            carrier = self.desk.carrier()
            self._reached(lambda: self.fetch(carrier))
            self.close()
            self.expire()
            try:
                self.look(lock)
                self.by_policy()
                self.work(lock)
            finally:  # what is ready goes, whatever is wrong with the rest
                for row in due(self.desk):
                    self._reached(partial(self.send, row, carrier))
        return not self.unreached

    def fetch(self, carrier: Folder) -> None:
        """Parcels that lie with the carrier; each is taken out once it is at the desk, or refused."""
        held = self.held_bytes()
        for parcel in carrier.waiting():
            if parcel.bytes > self.desk.settings.largest_parcel:
                self.complain(f"a parcel of {parcel.bytes:,} bytes was left with the carrier: too large")
            elif held + parcel.bytes > self.desk.settings.quota:
                self.complain(
                    "the desk's quota is reached: no more parcels are fetched until some are cleared"
                )
                return
            else:
                self._take(carrier, parcel)
                held += parcel.bytes

    def _take(self, carrier: Folder, parcel: Waiting) -> None:
        to = self.desk.place("in") / parcel.name
        try:
            carrier.fetch(parcel, to)
            self.note(receiving.receive(self.desk, to))
        except UnknownSender as e:
            self.note(f"a parcel was refused: {e.problem}")
        except PackageError as e:
            self.note(f"a parcel was refused: it {e.problem}")
        finally:
            to.unlink(missing_ok=True)
        carrier.remove(parcel)

    def close(self) -> None:
        """Exchanges about a query that this site has replaced since: nobody can use the answers any more."""
        for row in self.store.of("out", "ask", *receiving.WAITS):
            if row.ask.wants == "statistics" and not is_query(self.desk, row.ask.about):
                self.store.move(row, "closed", of=receiving.WAITS, reason="the query was replaced")
                self.say(f"{row.peer}: closed, the query was replaced")

    def expire(self) -> None:
        """Requests that nobody decided on, and asks that nobody answered."""
        at = now()
        for row in self.store.of("in", "ask", "received", "waiting", "failed"):
            if row.deadline and row.deadline <= at:
                self.store.move(row, "expired", of=["received", "waiting", "failed"], reason="nobody decided")
                self.note(f"request of {row.peer}: expired, nobody decided in time")
        for row in self.store.of("out", "ask", *receiving.WAITS):
            if row.deadline and row.deadline <= at:
                self.store.move(row, "expired", of=receiving.WAITS, reason="no answer came in time")
                self.note(f"{row.peer} did not answer in time")

    def look(self, lock: IO[Any]) -> None:
        """At the packages behind letters that came."""
        rows = {row.id: row for kind in ("ask", "reply") for row in self.store.of("in", kind, "received")}
        for row in list(rows.values()):
            if row.tries >= TRIES:
                answering.found(self.desk, row, {"refused": "looking at it ended the process three times"})
                del rows[row.id]
            elif row.letter.kind == "ask" and row.ask.wants == "model":
                answering.found(self.desk, row, {"preview": answering.of_model(self.desk, row)})
                del rows[row.id]
        jobs = [answering.job(self.desk, row) for row in rows.values()]
        told, ended = work.examine(self.desk, jobs, lock)
        for key in ended:
            self.store.tried(key, "received")
        for key, one in told.items():
            answering.found(self.desk, rows[key], one)
            what = f"refused, {one['refused']}" if "refused" in one else "is in order"
            self.note(f"{rows[key].letter.kind} of {rows[key].peer}: {what}")

    def by_policy(self) -> None:
        """Requests that the site's YAML lets be answered without a person."""
        for row in self.store.of("in", "ask", "waiting"):
            assert row.preview is not None
            why = policy.needs_person(
                self.desk.settings.automatic, row, row.preview, policy.history(self.store)
            )
            if why is None and not Ledger(self.desk.ledger).is_begun():
                why = "this site has no ledger yet, and a person has to begin it"
            if why is None:
                self.store.decide(row, "approved", policy.BY_POLICY, row.preview)
                self.note(f"request of {row.peer}: approved by policy")
            elif row.reason != why:
                self.store.move(row, "waiting", of=["waiting"], reason=why)

    def work(self, lock: IO[Any]) -> None:
        """Requests that were decided on."""
        for row in self.store.of("in", "ask", "declined"):
            answering.decline(self.desk, row)
        for row in self.store.of("in", "ask", "approved", "working"):
            if row.tries >= TRIES:
                why = f"three attempts failed ({row.reason}); see the desk's log/work.log"
                self.store.move(row, "failed", of=["approved", "working"], reason=why)
                self.note(f"request of {row.peer}: failed, {why}")
                continue
            self.store.tried(row, "working")
            self.say(f"answering {row.peer} …")
            told = answering.approve(self.desk, row, lock)
            self.note(f"request of {row.peer}: {told}")

    def send(self, row: Row, carrier: Folder) -> None:
        """One letter."""
        try:
            send(self.desk, row, carrier)
        except OutputError:
            raise
        except QKTError as e:  # of one receiver; others get theirs
            self.complain(f"{row.letter.kind} to {row.peer} cannot be sent: {e.problem}")
            return
        if row.letter.kind != "receipt":
            self.note(f"{row.letter.kind} to {row.peer}: sent")

    def note(self, text: str) -> None:
        """Say it, and write it down."""
        self.store.note(text)
        self.say(text)

    def complain(self, text: str) -> None:
        """The same of what goes wrong in each sweep until somebody mends it: it is one note, not hundreds."""
        if text not in [earlier for _, earlier in self.store.notes()]:
            self.store.note(text)
        self.say(text)

    def held_bytes(self) -> int:
        """Of all files at the desk."""
        return sum(p.stat().st_size for p in self.desk.folder.rglob("*") if p.is_file())

    def _reached(self, step: Callable[[], None]) -> None:
        try:
            step()
        except OutputError as e:
            if e.where != "exchange: folder":
                raise
            if not self.unreached:
                self.complain(f"{e.problem}; the next sweep tries again")
            self.unreached = True


@contextmanager
def held(desk: AtDesk) -> Iterator[IO[Any] | None]:
    """The desk for oneself; None if another sweep, or a process that one began, still lives."""
    desk.place()
    with private_file(desk.folder / "lock").open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
            return
        yield lock
