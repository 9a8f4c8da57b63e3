"""The demo's hospitals at their desks: each sweeps in a process of its own, and one waits for a person."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from rich.console import Console

from clinical_qkt.core.errors import InputError, OutputError
from clinical_qkt.exchange import asking, deciding
from clinical_qkt.exchange.at_desk import AtDesk, at_desk
from clinical_qkt.exchange.collected import collected
from clinical_qkt.exchange.letters import Wants
from clinical_qkt.exchange.new_models import leave_for
from clinical_qkt.exchange.receiving import WAITS
from clinical_qkt.packages.model import is_model
from clinical_qkt.research.demo_processes import Loopback
from clinical_qkt.site.ledger.ledger import Ledger

ROUNDS = 6
"""Sweeps of all sites after which every letter has come; a request that waits for a person takes four."""
Carrier = Literal["folder", "flare"]
PERSON = "the demo's person"


def section(root: Path, sites: Sequence[str], i: int, carrier: Carrier | None) -> dict[str, object]:
    """What a site's YAML says under `exchange`: all but the second answer the others by themselves."""
    keys, site = root / "keys", sites[i]
    others = [other for other in sites if other != site]
    where = root / "spools" / site if carrier == "flare" else root / "mailbox"
    return {
        "carrier": carrier or "folder",
        "folder": str(where),
        "sealing_key": str(keys / f"{site}.sealing"),
        "sealing_keys": {other: str(keys / f"{other}.sealing.pub") for other in others},
        "automatic": {"askers": [] if i == 1 else others},
    }


def ask(yaml: Path, others: Sequence[str], package: Path | None) -> None:
    """The student's letters, unless they were written before; the others begin their ledgers.

    Args:
        package: a query, or a new model that is to be measured; None: it asks for models.
    """
    desk, wants = at_desk(yaml), _wanted(package)
    for other in others:
        ledger = Ledger(at_desk(yaml.with_name(f"{other}.yaml")).ledger)
        if not ledger.is_begun():
            ledger.begin()
    if any(row.ask.wants == wants for row in desk.store.of("out", "ask")):
        return
    if package is not None and wants == "assessment":
        leave_for(desk, package, others)
    asking.ask(desk, others, wants, package, asking.deadline_of(None, desk.settings.deadline_days))


def _wanted(package: Path | None) -> Wants:
    if package is None:
        return "model"
    return "assessment" if is_model(package) else "statistics"


def require(carrier: Carrier | None) -> None:
    """Refuse a carrier that is not installed, before anything is done.

    Raises:
        InputError: FLARE is not.
    """
    if carrier == "flare" and find_spec("nvflare") is None:
        fix = 'pip install "clinical-qkt[federation]"'
        raise InputError("NVIDIA FLARE is not installed", where="--exchange flare", fix=fix)


def round_trip(yamls: Sequence[Path], student: Path, console: Console, *, processes: bool = False) -> None:
    """Sweeps of all sites, side by side, until each has answered; a person decides where one has to.

    Args:
        yamls: of the others.
        processes: FLARE's are provisioned ones, instead of its simulator's.

    Raises:
        OutputError: a sweep failed, or letters are still on their way after many rounds.
    """
    with _carrying([student, *yamls], processes=processes) as carry:
        for _ in range(ROUNDS):
            _sweep([student, *yamls], console)
            if carry is not None:
                console.print(f"  relay: {carry()}", markup=False, style="dim")
            for yaml in yamls:
                _person(at_desk(yaml), console)
            if not at_desk(student).store.of("out", "ask", *WAITS):
                return
    raise OutputError(
        "letters are still on their way",
        where=str(student),
        fix=f"see `clinical-qkt exchange status {student}`",
    )


@contextmanager
def _carrying(yamls: Sequence[Path], *, processes: bool) -> Iterator[Callable[[], str] | None]:
    """What takes parcels from spool to spool, where FLARE carries, and says whom it reached; else None."""
    desks, root = [at_desk(yaml) for yaml in yamls], yamls[0].parent.parent
    spools = {desk.site: Path(desk.settings.folder) for desk in desks}
    if desks[0].settings.carrier != "flare":
        yield None
    elif processes:
        with Loopback(root / "federation", spools) as federation:
            yield federation.sweep
    else:
        yield partial(_simulated, spools, root)


def _simulated(spools: Mapping[str, Path], root: Path) -> str:
    from clinical_qkt.exchange.carriers.flare.simulated import relay_once  # nvflare may not be there

    with _said_into(root / "flare.log"):
        swept = relay_once(spools, root / "flare")
    return f"reached: {', '.join(swept.reached)}"


@contextmanager
def _said_into(log: Path) -> Iterator[None]:
    """What FLARE and the processes that it starts say, kept from the screen."""
    sys.stdout.flush()
    sys.stderr.flush()
    screen = {number: os.dup(number) for number in (1, 2)}
    with log.open("ab") as to:
        for number in screen:
            os.dup2(to.fileno(), number)
        try:
            yield
        finally:
            for number, copy in screen.items():
                os.dup2(copy, number)
                os.close(copy)


def packages(yaml: Path) -> dict[str, list[str]]:
    """What came and is in order, by the site's key."""
    return {key: [str(f) for f in folders] for key, folders in collected(at_desk(yaml)).items()}


def _sweep(yamls: Sequence[Path], console: Console) -> None:
    command = [sys.executable, "-m", "clinical_qkt", "exchange", "sweep"]
    running = [
        (yaml.stem, subprocess.Popen([*command, str(yaml)], stdout=subprocess.PIPE, text=True))
        for yaml in yamls
    ]
    for site, process in running:
        said, _ = process.communicate()
        for line in _told(said):
            console.print(f"  {site}: {line}", markup=False, style="dim")
        if process.returncode:
            raise OutputError("a sweep failed", where=site, fix="see what it said above")


def _told(said: str) -> Iterator[str]:
    """What is worth telling: not that receipts came."""
    return (line for line in said.splitlines() if line and not line.startswith("receipt"))


def _person(desk: AtDesk, console: Console) -> None:
    """Somebody looks into the inbox, and agrees to what would be answered."""
    for row in desk.store.of("in", "ask", "waiting"):
        shown = deciding.shown(desk, row)
        if any(one["kind"] for one in shown["classes"]):  # type: ignore[attr-defined]
            deciding.approve(desk, row, PERSON, shown, new_ledger=False)
            console.print(f"  {desk.site}: a person approves the request of {row.peer}", markup=False)
        else:
            deciding.decline(desk, row, PERSON, "we do not have these classes")
            console.print(f"  {desk.site}: a person declines the request of {row.peer}", markup=False)
