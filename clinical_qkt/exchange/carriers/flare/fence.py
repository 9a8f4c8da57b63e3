"""What may pass between a site and the relay: pieces of sealed parcels whose envelopes fit, nothing else."""

from __future__ import annotations

from collections.abc import Iterable

from clinical_qkt.core.errors import PackageError
from clinical_qkt.exchange.carriers.flare.messages import Order, Piece, Report, Way
from clinical_qkt.exchange.parcel import envelope_in


class Fence:
    """Of one site, within one sweep.

    A parcel's first piece shows its envelope; the following ones pass if they go on where it ended.

    Args:
        site: the site's own pseudonym.
    """

    def __init__(self, site: str) -> None:
        self._site = site
        self._passed: dict[Way, int] = {}

    def coming(self, order: Order) -> Order:
        """An order without what is not for this site."""
        return order.model_copy(
            update={
                "take": list(self._fitting(p for p in order.take if p.receiver == self._site)),
                "want": [w for w in order.want if w.sender == self._site],
                "arrived": [a for a in order.arrived if a.sender == self._site],
            }
        )

    def going(self, report: Report) -> Report:
        """A report without what is not this site's own to send."""
        return report.model_copy(
            update={
                "offers": [o for o in report.offers if o.sender == self._site],
                "pieces": list(self._fitting(p for p in report.pieces if p.sender == self._site)),
                "kept": [k for k in report.kept if k.receiver == self._site],
                "refused": [r for r in report.refused if r.receiver == self._site],
            }
        )

    def _fitting(self, pieces: Iterable[Piece]) -> Iterable[Piece]:
        for piece in pieces:
            begun = self._passed.get(piece.way, 0)
            # a round that FLARE repeats brings the same piece again
            if piece.end <= piece.size and (says(piece) if piece.offset == 0 else piece.offset <= begun):
                self._passed[piece.way] = max(begun, piece.end)
                yield piece


def says(piece: Piece) -> bool:
    """Whether a first piece's envelope names the sender and the receiver that the piece names."""
    try:
        envelope = envelope_in(piece.data)
    except PackageError:
        return False
    return (envelope.sender, envelope.receiver) == (piece.sender, piece.receiver)
