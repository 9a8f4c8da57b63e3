"""The ledger: every package that left the site; of answers, what they told and spent of the privacy budget.

A private release is looked up, checked against the privacy budget, drawn and written down in one change of
the file, so that two processes cannot both spend the last of the privacy budget, and a crash leaves either
nothing or a line whose numbers can be sent again. Requested the same again, a site gives the same numbers:
repeating a question tells nothing new and costs nothing. The same holds for exact responses and for masks.
Each line is counted in a second place, too, see ``second_place``.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from clinical_qkt.core.errors import InputError
from clinical_qkt.core.terms import Unit
from clinical_qkt.privacy.composition import Incomparable, Spent, composed_epsilon, counted_for
from clinical_qkt.site.ledger import exact_floor, file, judged, second_place
from clinical_qkt.site.ledger.exact_floor import Shown
from clinical_qkt.site.ledger.file import MASK, ledger_change
from clinical_qkt.site.ledger.judged import Judged
from clinical_qkt.site.ledger.lines import Departure as Departure
from clinical_qkt.site.ledger.lines import Exact as Exact
from clinical_qkt.site.ledger.lines import (
    MaskLine,
    Told,
    columns,
    keep,
    kept,
    masks_told,
    same,
    spent_in,
    told_exactly,
    write,
)
from clinical_qkt.site.ledger.lines import Requested as Requested

if TYPE_CHECKING:  # whoever looks at a ledger need not wait for torch
    from clinical_qkt.privacy.mechanisms import Guarantee

_TOLERANCE = 1e-6


class PrivacyBudgetSpent(Exception):
    """A release would overrun the site's privacy budget; nothing was drawn."""


class NoFurtherResponse(Exception):
    """an exact response is refused; the message is the reason."""


class Ledger:
    """A site's ledger.

    Args:
        path: the file; made on first use.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def is_begun(self) -> bool:
        """Whether it may count what is told of patients."""
        if not self.path.exists():
            return False
        with ledger_change(self.path) as db:
            return file.begun(db)

    def begin(self) -> str:
        """From now on it counts what is told of patients; gives the ledger's identity."""
        with ledger_change(self.path) as db:
            file.begin(db)
            return file.identity(db)

    def require_newest(self) -> str:
        """Refuse an older copy of a ledger that was used from here; gives the ledger's identity.

        Raises:
            OutputError: it lacks lines that it once had; or the file cannot be used.
        """
        with ledger_change(self.path) as db:
            held = file.digests(file.counted(db))
            second_place.require_newest(file.identity(db), held, self.path)
            return file.identity(db)

    def holds_other_than(self, query_sha256: str) -> bool:
        """Whether it counts an answer to another question than this one."""
        with ledger_change(self.path) as db:
            return any(line["query_sha256"] != query_sha256 for line in file.counted(db))

    def take_in(self, lines: Iterable[Mapping[str, Any]], ledger: str) -> int:
        """Write down lines that it should hold, and begin it if it is not; gives how many were missing.

        Args:
            ledger: its identity.
        """
        with ledger_change(self.path) as db:
            file.set_fact(db, "id", ledger)
            file.begin(db)
            held = file.digests(file.counted(db))
            missing = [line for digest, line in file.by_digest(lines).items() if digest not in held]
            for line in missing:
                file.insert(db, line)
            held = file.digests(file.counted(db))
        second_place.follow(ledger, held, self.path)
        return len(missing)

    def release(
        self,
        requested: Requested,
        guarantee: Guarantee,
        total: Guarantee,
        draw: Callable[[], Any],
        images_per_patient: int | None = None,
    ) -> Any:
        """The release for what is requested: an earlier one, or a new one if the privacy budget allows it.

        The same is asked if query, class, kind, answering site, unit, form and guarantee are the same. The
        datalist may have changed: new numbers would tell the asker that it has, and a patient with it.

        Args:
            guarantee: of a new release.
            total: the privacy budget, for all releases in the ledger together.
            draw: makes the release, as JSON data; called once at most.
            images_per_patient: see ``composition``.

        Raises:
            PrivacyBudgetSpent: a new one would overrun the privacy budget.
            InputError: the ledger is not begun; or what is spent cannot be counted for this unit.
            OutputError: the file cannot be used, or lacks lines that it once had.
        """
        key = {"epsilon": guarantee.epsilon, "delta": guarantee.delta, **columns(requested)}
        with self.counting() as db:
            earlier = same(db, key, "site", "unit", "form", "epsilon", "delta")
            if earlier is not None:
                return earlier
            spent = [*spent_in(db), Spent(guarantee.noise_multiplier, requested.unit)]
            if (
                self._together(spent, total.delta, requested.unit, images_per_patient)
                > total.epsilon + _TOLERANCE
            ):
                raise PrivacyBudgetSpent
            release = draw()
            cost = {**key, "noise_multiplier": guarantee.noise_multiplier}
            write(db, cost, release)
            return release

    def exact(
        self,
        requested: Requested,
        shown: Shown,
        limit: int,
        minimum: int,
        draw: Callable[[], Exact],
        beside: Mapping[str, Shown] | None = None,
    ) -> Exact:
        """The exact response for what is requested: an earlier one, or a new one if the floor allows it.

        Args:
            shown: of which images it is made.
            limit, minimum: see ``exact_floor.refused``.
            draw: makes it; called once at most.
            beside: own classes that are compared in it, and of which images.

        Raises:
            NoFurtherResponse: see ``exact_floor``; or it was given, and its numbers are lost.
            InputError, OutputError: as for ``release``.
        """
        with self.counting() as db:
            before = same(db, columns(requested), "site", "form")
            if before is not None:
                return _found(kept(db, before))
            earlier, own_class = told_exactly(db), requested.own_class or requested.label
            reason = exact_floor.refused(earlier, own_class, shown, limit, minimum)
            if any(exact_floor.nearly_told(earlier, c, one, minimum) for c, one in (beside or {}).items()):
                reason = exact_floor.NO_MORE
            if reason:
                raise NoFurtherResponse(reason)
            answer = draw()
            keep(db, {**columns(requested), "images": shown.kept()}, answer)
            for own_class, one in (beside or {}).items():
                about = replace(requested, kind=file.LOOK, own_class=own_class)
                write(db, {**columns(about), "images": one.kept()}, {"compared": own_class})
            return answer

    def may_compare(self, own_class: str, shown: Shown, minimum: int) -> bool:
        """Whether a class may be compared in an exact response for another one, see ``exact_floor``."""
        if not self.path.exists():
            return True
        with ledger_change(self.path) as db:
            return not exact_floor.nearly_told(told_exactly(db), own_class, shown, minimum)

    def told_before(self, requested: Requested) -> bool:
        """Whether the same question got an exact response, and gets it again."""
        with ledger_change(self.path) as db:
            earlier = same(db, columns(requested), "site", "form")
            return earlier is not None and kept(db, earlier) is not None

    def exact_refusal(self, requested: Requested, shown: Shown, limit: int, minimum: int) -> str | None:
        """Why ``exact`` would refuse a new one, or None."""
        with ledger_change(self.path) as db:
            own_class = requested.own_class or requested.label
            return exact_floor.refused(told_exactly(db), own_class, shown, limit, minimum)

    def mask(self, site: str, draw: Callable[[Mapping[str, Told]], Iterable[MaskLine]]) -> None:
        """Keep what is told of a site's knowledge mask, and never forget it.

        Args:
            draw: from what was told of each class before to what is new.
        """
        with self.counting() as db:
            for one in list(draw(masks_told(db, site))):
                line = {"asked_by": "", "query_sha256": "", "data_sha256": "", "kind": MASK, "site": site}
                line |= {"class": one.label, "own_class": one.label, "form": f"{MASK}/1"}
                told = {"known": one.known, "told": one.told}
                write(db, {**line, "epsilon": one.epsilon}, told)

    def record(self, requested: Requested, what: Any) -> None:
        """Write down a refusal."""
        with ledger_change(self.path) as db:
            write(db, columns(requested), what)

    def departed(self, departure: Departure) -> None:
        """Write down a package that leaves."""
        names = list(asdict(departure))
        marks = ", ".join("?" * (1 + len(names)))
        with ledger_change(self.path) as db:
            db.execute(
                f"INSERT INTO departures (time, {', '.join(names)}) VALUES ({marks})",
                (file.now(), *asdict(departure).values()),
            )

    def judged(self, test_sha256: str, rule_sha256: str, weights_sha256: str) -> Judged:
        """Write down that a new model is judged, and tell what was judged before; see ``judged``."""
        with ledger_change(self.path) as db:
            return judged.judged(db, test_sha256, rule_sha256, weights_sha256)

    def spent(self, delta: float, unit: Unit = "patient", images_per_patient: int | None = None) -> float:
        """The epsilon of all private releases together, at ``delta``, counted for one unit.

        Raises:
            InputError: it cannot be counted for that unit.
        """
        if not self.path.exists():
            return 0.0
        with ledger_change(self.path) as db:
            return self._together(spent_in(db), delta, unit, images_per_patient)

    def spent_by_unit(self, delta: float) -> dict[str, float]:
        """The epsilon of the releases that protect each unit, apart; ``unknown`` of an earlier version's."""
        with ledger_change(self.path) as db:
            apart: dict[str, list[float]] = {}
            for one in spent_in(db):
                apart.setdefault(one.unit or "unknown", []).append(one.noise_multiplier)
        return {unit: composed_epsilon(multipliers, delta) for unit, multipliers in apart.items()}

    def lines(self, table: Literal["answers", "departures", "judged"] = "answers") -> list[dict[str, Any]]:
        """All answers by class, or all packages that left; the first one first."""
        with ledger_change(self.path) as db:
            rows = [dict(row) for row in db.execute(f"SELECT * FROM {table} ORDER BY id")]
        return [{name: value for name, value in row.items() if name != "images"} for row in rows]

    def _together(
        self, spent: list[Spent], delta: float, unit: Unit, images_per_patient: int | None
    ) -> float:
        try:
            return composed_epsilon(counted_for(spent, unit, images_per_patient), delta)
        except Incomparable:
            raise InputError(
                "holds answers that hide one image, or of which it is not known whom they hide; they cannot "
                "be added to answers that hide a patient",
                where=str(self.path),
                fix="write 'images_per_patient: K' under 'policy', if no patient ever had more than K images "
                "of a class; or keep 'unit: image', if no two images show the same patient",
            ) from None

    @contextmanager
    def counting(self) -> Iterator[sqlite3.Connection]:
        """A change that decides what may still be told: in a whole ledger, and counted in a second place."""
        if not self.is_begun():
            raise InputError("is no ledger that was begun", where=str(self.path), fix=file.BEGIN)
        with ledger_change(self.path) as db:
            ledger, last = file.identity(db), file.last(db)
            held = file.digests(file.counted(db))
            known = second_place.require_newest(ledger, held, self.path)
            yield db
            held |= file.digests(file.counted(db, last))
        new = {digest: line for digest, line in held.items() if digest not in known}
        second_place.follow(ledger, new, self.path)


def _found(answer: Exact | None) -> Exact:
    if answer is None:
        raise NoFurtherResponse(exact_floor.NO_MORE)
    return answer
