"""Making room at the desk: packages of what has ended."""

from __future__ import annotations

import shutil

from clinical_qkt.exchange.at_desk import AtDesk
from clinical_qkt.exchange.receiving import package_of
from clinical_qkt.exchange.sending import forget_sent

ENDED = ("answered", "declined", "refused", "expired", "closed")
"""States in which nothing comes any more. A reply that was found to be in order is in none of them."""


def clear(desk: AtDesk) -> int:
    """Drop them; gives how many bytes that were."""
    before = _bytes(desk)
    for row in desk.store.rows(f"state IN ({', '.join('?' * len(ENDED))})", ENDED):
        shutil.rmtree(package_of(desk, row).parent, ignore_errors=True)
        if row.direction == "out":
            forget_sent(desk, row)
    return before - _bytes(desk)


def _bytes(desk: AtDesk) -> int:
    return sum(p.stat().st_size for p in desk.folder.rglob("*") if p.is_file())
