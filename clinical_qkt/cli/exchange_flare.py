"""The commands ``exchange provision``, ``check`` and ``relay``: parcels over NVIDIA FLARE."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from clinical_qkt.core.errors import InputError

console = Console()
INSTALL = 'pip install "clinical-qkt[federation]"'


def provision(
    consortium: Annotated[Path, typer.Argument(metavar="CONSORTIUM.yaml", help="Who takes part, and where.")],
    out: Annotated[Path, typer.Argument(help="New folder for FLARE's input and everybody's policies.")],
) -> None:
    """Write what FLARE's own provisioning reads, and the policies that take its defaults' place."""
    from clinical_qkt.exchange.provision import provision as write
    from clinical_qkt.exchange.provision import read_consortium

    write(read_consortium(consortium), out)
    console.print(f"written: {out}", markup=False)


def check(
    folder: Annotated[
        Path, typer.Argument(help="A startup kit: the folder with 'startup' and 'local' in it.")
    ],
) -> None:
    """Look whether a startup kit of FLARE is set up with care. Exit code 2 if it is not."""
    from clinical_qkt.exchange.kit_check import careless

    problems = careless(folder)
    for file, problem in problems:
        console.print(f"{file}: {problem}", markup=False)
    if problems:
        raise SystemExit(2)
    console.print("nothing careless was found", markup=False)


def relay(
    kit: Annotated[Path, typer.Argument(help="The startup kit of the person who starts sweeps.")],
    site: Annotated[list[str] | None, typer.Option(help="Only this site; again for more.")] = None,
    leave_out: Annotated[list[str] | None, typer.Option(help="Not this site; again for more.")] = None,
    seconds: Annotated[int, typer.Option(min=5, max=3600, help="How long a site is waited for.")] = 60,
    whole: Annotated[int, typer.Option(min=10, max=86400, help="After so long nothing new is begun.")] = 900,
) -> None:
    """Carry sealed parcels between all connected sites, once; from a timer. Who is missed comes next time."""
    if find_spec("nvflare") is None:
        raise InputError("NVIDIA FLARE is not installed", where="exchange relay", fix=INSTALL)
    from clinical_qkt.exchange.carriers.flare.submit import relay as sweep

    swept = sweep(kit, sites=site or (), leave_out=leave_out or (), seconds=seconds, whole=whole)
    told = {"reached": swept.reached, "not reached": swept.missed, "not connected": swept.absent}
    for what, sites in told.items():
        if sites:
            console.print(f"{what}: {', '.join(sites)}", markup=False)
    if not swept.reached:
        console.print("no site was reached", markup=False)
        raise SystemExit(5)
