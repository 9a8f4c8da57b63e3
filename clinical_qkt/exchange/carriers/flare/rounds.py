"""A sweep as the relay sees it: who has a parcel for whom, how far it is, and what to ask of each site next.

Rounds: the first asks all sites what lies there. In each of the following ones a site gets pieces, gives the
next ones, and is told which of its parcels arrived. The relay holds one round's pieces and no file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from clinical_qkt.exchange.carriers.flare.messages import MOST, PIECE, Order, Parcel, Piece, Report, Want, Way

MOST_HELD = 64 * 1024 * 1024
"""Bytes of pieces that the relay asks for in a round, of all sites together."""


@dataclass
class _Carried:
    """A parcel on its way."""

    size: int
    asked: int = 0
    """From where on the next piece is wanted."""
    piece: Piece | None = None
    """What came and is to be given to the receiver in the next round."""
    waiting: bool = False
    """A piece was asked for, and has not come."""


@dataclass
class Sweep:
    """Round after round: ``orders``, then the sites' reports to ``heard``, until there are no more orders."""

    sites: Sequence[str]
    piece: int = PIECE
    most_held: int = MOST_HELD
    reached: set[str] = field(default_factory=set)
    silent: set[str] = field(default_factory=set)
    """Sites that did not answer in time, or not in the form that is agreed on; no more is asked of them."""
    _carried: dict[Way, _Carried] = field(default_factory=dict)
    _arrived: dict[str, list[Parcel]] = field(default_factory=dict)
    _begun: bool = False
    _closing: bool = False

    def close(self) -> None:
        """Begin nothing new and ask for no more pieces: the time is up."""
        self._closing = True

    def orders(self) -> dict[str, Order]:
        """What to ask of whom now; nothing at the end."""
        if not self._begun:
            self._begun = True
            return {site: Order(tell=True) for site in self.sites}
        wants, takes = self._wants(), self._takes()
        arrived, self._arrived = self._arrived, {}
        asked = {*wants, *takes, *arrived} - self.silent
        return {
            site: Order.model_construct(
                tell=False, take=takes.get(site, []), want=wants.get(site, []), arrived=arrived.get(site, [])
            )
            for site in sorted(asked)
        }

    def _takes(self) -> dict[str, list[Piece]]:
        found: dict[str, list[Piece]] = {}
        for way, carried in self._carried.items():
            if carried.piece:
                found.setdefault(way.receiver, []).append(carried.piece)
                carried.piece = None
        return found

    def _wants(self) -> dict[str, list[Want]]:
        """The next pieces, the smallest parcels first, as far as each site and the relay can hold them."""
        found: dict[str, list[Want]] = {}
        if self._closing:
            return found
        giving, getting, left = Counter[str](), Counter[str](), self.most_held
        for way, carried in sorted(self._carried.items(), key=lambda c: (c[1].size, c[0])):
            size = min(self.piece, carried.size - carried.asked)
            full = max(giving[way.sender], getting[way.receiver]) + size > self.piece or size > left
            if size == 0 or full or len(found.get(way.sender, [])) >= MOST:
                continue
            want = Want(**way._asdict(), offset=carried.asked, length=size)
            found.setdefault(way.sender, []).append(want)
            giving[way.sender] += size
            getting[way.receiver] += size
            left -= size
            carried.waiting = True
        return found

    def heard(self, reports: Mapping[str, Report | None]) -> None:
        """What the sites said to the last orders, by the names in their certificates; None: silence."""
        for site, report in reports.items():
            (self.silent if report is None else self.reached).add(site)
        for site, report in reports.items():
            if report is not None:
                self._heard(site, report)
        self._drop_lost()

    def _heard(self, site: str, report: Report) -> None:
        for piece in report.pieces:
            self._got(site, piece)
        for parcel in report.refused:
            if parcel.receiver == site:
                self._carried.pop(parcel.way, None)
        for parcel in report.kept:
            if parcel.receiver == site and parcel.way in self._carried:
                del self._carried[parcel.way]
                self._arrived.setdefault(parcel.sender, []).append(parcel)
        for offer in report.offers[:MOST]:
            known = offer.receiver in self.sites and offer.receiver != site
            if offer.sender == site and known and not self._closing:
                self._carried.setdefault(offer.way, _Carried(offer.size))

    def _got(self, site: str, piece: Piece) -> None:
        carried = self._carried.get(piece.way)
        if carried is None or piece.sender != site or not carried.waiting:
            return
        end = min(carried.asked + self.piece, carried.size)
        if (piece.offset, piece.end, piece.size) == (carried.asked, end, carried.size):
            carried.piece, carried.asked, carried.waiting = piece, piece.end, False

    def _drop_lost(self) -> None:
        """Leave to the next sweep what no piece came of, and what its sender or receiver cannot end."""
        for way, c in list(self._carried.items()):
            if c.waiting or way.receiver in self.silent or (way.sender in self.silent and c.asked < c.size):
                del self._carried[way]
