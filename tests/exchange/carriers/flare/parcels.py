"""Parcels as a carrier sees them: a true envelope, noise for what is sealed. And a sweep without FLARE."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Mapping
from pathlib import Path

from clinical_qkt.exchange.carriers.flare.fence import Fence
from clinical_qkt.exchange.carriers.flare.messages import Order, Report, read, written
from clinical_qkt.exchange.carriers.flare.rounds import Sweep
from clinical_qkt.exchange.carriers.flare.spool import Spool, carry_out
from clinical_qkt.exchange.parcel import FIRST_LINE

SECRET = b"a patient's secret"
"""In every parcel's noise, so that whoever looks for it finds it where it may be."""
A, B, C = "hospital_a", "hospital_b", "hospital_c"


def bytes_of(sender: str, receiver: str, size: int = 3_000, seed: int = 0) -> bytes:
    said = {"exchange": "0" * 32, "kind": "reply", "sender": sender, "receiver": receiver, "key": "AAAA"}
    head = FIRST_LINE + json.dumps(said).encode() + b"\n" + SECRET
    return head + random.Random(f"{sender} {receiver} {size} {seed}").randbytes(size)


def put(folder: Path, sender: str, receiver: str, size: int = 3_000, seed: int = 0) -> str:
    """Put a parcel into a spool, as a desk does; gives its name."""
    content = bytes_of(sender, receiver, size, seed)
    name = hashlib.sha256(content).hexdigest()
    out = folder / "out" / receiver
    out.mkdir(parents=True, exist_ok=True)
    (out / f".{name}").write_bytes(content)
    (out / f".{name}").rename(out / f"{name}.parcel")
    return name


def waiting(folder: Path) -> set[str]:
    return {p.stem for p in folder.glob("out/*/*.parcel")}


def come(folder: Path) -> dict[str, bytes]:
    return {p.stem: p.read_bytes() for p in folder.glob("in/*.parcel")}


def spool(folder: Path, site: str, *, largest: int = 1 << 30, quota: int = 1 << 30) -> Spool:
    return Spool(folder, site, largest=largest, quota=quota)


def sweep(
    spools: Mapping[str, Spool],
    says: Callable[[int, str, Report], Report | None] = lambda _, __, report: report,
    *,
    sweep: Sweep | None = None,
) -> list[dict[str, Order]]:
    """One sweep as FLARE would carry it, every message through both fences; gives its orders.

    Args:
        says: what comes of a site's report in a round; None: it is lost, after the site did what was asked.
    """
    state, fences = sweep or Sweep([*spools]), {site: (Fence(site), Fence(site)) for site in spools}
    rounds = []
    for place in spools.values():
        place.tidy()
    while orders := state.orders():
        rounds.append(orders)
        reports = {}
        for site, order in orders.items():
            coming, going = fences[site]
            heard = coming.coming(read(Order, written(order)))
            report = going.going(carry_out(heard, spools[site]))
            said = says(len(rounds), site, report)
            reports[site] = None if said is None else read(Report, written(said))
        state.heard(reports)
    return rounds
