"""The commands of the desk: `inbox`, `approve`, `decline`, `outbox`, `exchange …`.

None of them loads torch but `exchange assess`, which looks into the model that is to leave.
"""

from __future__ import annotations

import getpass
import json
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.prompt import Confirm

from clinical_qkt.cli import exchange_flare

exchange = typer.Typer(
    no_args_is_help=True, help="Exchange packages with other sites, sealed, over a carrier."
)
console = Console()

SiteFile = Annotated[Path, typer.Argument(metavar="SITE.yaml", help="Your site's YAML.")]
Identity = Annotated[str, typer.Argument(metavar="ID", help="The request's id, or its first digits.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
By = Annotated[str | None, typer.Option(help="Who decides; your login by default. It stays at this site.")]
AsJson = Annotated[bool, typer.Option("--json", help="For scripts.")]
Deadline = Annotated[str | None, typer.Option(help="A day, e.g. 2026-12-24: until when an answer is of use.")]
To = Annotated[
    list[str], typer.Option("--to", help="A site, again for more; all; or offering, by the directory.")
]


def inbox(
    site: SiteFile,
    identity: Annotated[str | None, typer.Argument(metavar="[ID]", help="One request, in full.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show who asks what; of one request, what would leave, and what they were answered before."""
    from clinical_qkt.exchange import deciding, view
    from clinical_qkt.exchange.at_desk import at_desk

    desk = at_desk(site)
    if identity is None:
        if as_json:
            print(json.dumps([view.facts(row) for row in desk.store.of("in", "ask")], indent=2))
        else:
            view.show_inbox(desk, console)
        return
    row = deciding.request(desk, identity)
    shown = deciding.shown(desk, row) if row.preview else {}
    if as_json:
        print(json.dumps({**view.facts(row), "shown": shown}, indent=2))
        return
    view.show_request(desk, row, shown, console)
    if row.state in deciding.OPEN:
        for verb in ("approve", "decline"):
            more = " --reason …" if verb == "decline" else ""
            console.print(f"clinical-qkt {verb} {site} {row.short}{more}", markup=False, soft_wrap=True)


def approve(
    site: SiteFile,
    identity: Identity,
    yes: Yes = False,
    by: By = None,
    new_ledger: Annotated[
        bool, typer.Option("--new-ledger", help="This site has never answered before: begin its ledger.")
    ] = False,
) -> None:
    """Agree to what a request would let leave; the next sweep answers it."""
    from clinical_qkt.core.errors import InputError
    from clinical_qkt.exchange import deciding, view
    from clinical_qkt.exchange.at_desk import at_desk

    desk = at_desk(site)
    row = deciding.request(desk, identity)
    deciding.require_open(row)
    shown = deciding.shown(desk, row)
    view.show_request(desk, row, shown, console)
    if not yes and not Confirm.ask(f"Let it leave for {row.peer}?", console=console, default=False):
        raise InputError("was not agreed to; nothing leaves", where=f"request {row.short}", fix="answer y")
    deciding.approve(desk, row, by or getpass.getuser(), shown, new_ledger=new_ledger)
    console.print(
        f"approved; it is answered by: clinical-qkt exchange sweep {site}", markup=False, soft_wrap=True
    )


def decline(
    site: SiteFile,
    identity: Identity,
    reason: Annotated[str, typer.Option(help="The asker reads it.")] = "declined",
    by: By = None,
) -> None:
    """Say no to a request; the asker is told by the next sweep."""
    from clinical_qkt.exchange import deciding
    from clinical_qkt.exchange.at_desk import at_desk

    desk = at_desk(site)
    row = deciding.request(desk, identity)
    deciding.decline(desk, row, by or getpass.getuser(), reason)
    console.print(
        f"declined; {row.peer} is told by: clinical-qkt exchange sweep {site}", markup=False, soft_wrap=True
    )


def outbox(site: SiteFile) -> None:
    """Show what goes to other sites, and what became of it."""
    from clinical_qkt.exchange import view
    from clinical_qkt.exchange.at_desk import at_desk

    view.show_outbox(at_desk(site), console)


@exchange.command()
def status(site: SiteFile, as_json: AsJson = False) -> None:
    """Show what became of each request that this site sent: answered, declined, refused and why, expired."""
    from clinical_qkt.exchange import view
    from clinical_qkt.exchange.at_desk import at_desk

    desk = at_desk(site)
    if as_json:
        print(json.dumps([view.facts(row) for row in desk.store.of("out", "ask")], indent=2))
    else:
        view.show_status(desk, console)


@exchange.command()
def keys(
    site: SiteFile, out: Annotated[Path, typer.Option(help="Where the private key goes, NAME.sealing.")]
) -> None:
    """Make the pair of keys that parcels to this site are sealed with."""
    from clinical_qkt.exchange.keys_of_site import new_keys

    private, public = new_keys(site, out)
    for line in (
        f"{private}: keep it; name it as 'exchange: sealing_key' in the site's YAML",
        f"{public}: give it to the sites that you exchange with; your signature vouches for it",
    ):
        console.print(line, soft_wrap=True, markup=False)


@exchange.command()
def ask(
    site: SiteFile,
    to: To,
    wants: Annotated[
        Literal["statistics", "model"], typer.Option(help="Numbers of images, or teacher packages.")
    ] = "statistics",
    deadline: Deadline = None,
) -> None:
    """Ask other sites for the classes of your query; `clinical-qkt run query` has made it, and asked you."""
    from clinical_qkt.exchange import asking
    from clinical_qkt.exchange.at_desk import at_desk

    desk = at_desk(site)
    until = asking.deadline_of(deadline, desk.settings.deadline_days)
    package = desk.query_dir if wants == "statistics" else None
    named = asking.receivers(desk, to)
    again = asking.ask(desk, named, wants, package, until)
    for one in named:
        console.print(f"{one}: {'was asked already' if one in again else 'is asked'}", markup=False)
    console.print(f"They leave with: clinical-qkt exchange sweep {site}", markup=False, soft_wrap=True)


@exchange.command()
def assess(
    site: SiteFile,
    to: To,
    model: Annotated[Path, typer.Option(help="The teacher package that `share` wrote of the new model.")],
    deadline: Deadline = None,
) -> None:
    """Ask sites that have images of your new classes how well your new model does on them."""
    from clinical_qkt.exchange import asking
    from clinical_qkt.exchange.at_desk import at_desk
    from clinical_qkt.exchange.new_models import leave_for

    desk = at_desk(site)
    until = asking.deadline_of(deadline, desk.settings.deadline_days)
    named = asking.receivers(desk, to)
    leave_for(desk, model, named)
    again = asking.ask(desk, named, "assessment", model, until)
    for one in named:
        console.print(f"{one}: {'was asked already' if one in again else 'is asked'}", markup=False)
    console.print(f"They leave with: clinical-qkt exchange sweep {site}", markup=False, soft_wrap=True)


@exchange.command()
def offer(site: SiteFile, yes: Yes = False) -> None:
    """Put the names and codes of your classes into the directory, for everybody who reads it."""
    from clinical_qkt.core.errors import InputError
    from clinical_qkt.exchange import directory
    from clinical_qkt.exchange.at_desk import at_desk
    from clinical_qkt.site.config import SiteLabels, read_part

    desk, own = at_desk(site), read_part(site, SiteLabels).labels
    console.print(f"This would be known to all: {desk.site} has {', '.join(own.names)}", markup=False)
    if not yes and not Confirm.ask("Publish it?", console=console, default=False):
        raise InputError("was not agreed to; nothing is published", where=str(site), fix="answer y")
    directory.publish(desk.carrier(), desk.site, own, desk.signing_key)


@exchange.command("directory")
def show_directory(site: SiteFile) -> None:
    """Show what the sites offer whose keys you hold."""
    from clinical_qkt.exchange import directory
    from clinical_qkt.exchange.at_desk import at_desk

    desk = at_desk(site)
    found, doubts = directory.offers(desk.carrier(), desk.trusted_keys)
    for name, one in found.items():
        classes = ", ".join(c.name for c in one.classes)
        console.print(f"{name}, {one.since:%Y-%m-%d}: {classes}", markup=False)
    for doubt in doubts:
        console.print(f"warning: {doubt}", markup=False)


@exchange.command()
def sweep(site: SiteFile) -> None:
    """Do one round: fetch, look, answer what was approved, send. For a timer; it waits for nobody.

    Exit code 5 if the carrier was not reached, or another sweep is at work.
    """
    from clinical_qkt.exchange.at_desk import at_desk
    from clinical_qkt.exchange.sweep import Sweep

    desk = at_desk(site)
    if not Sweep(desk, lambda text: console.print(text, markup=False, soft_wrap=True)).run():
        raise SystemExit(5)


@exchange.command()
def clear(site: SiteFile) -> None:
    """Drop packages of exchanges that have ended; letters, decisions and answers that came are kept."""
    from clinical_qkt.exchange.at_desk import at_desk
    from clinical_qkt.exchange.clearing import clear as cleared

    console.print(f"{cleared(at_desk(site)):,} bytes were cleared", markup=False)


for of_a_relay in (exchange_flare.provision, exchange_flare.check, exchange_flare.relay):
    exchange.command()(of_a_relay)
