"""``clinical-qkt check SITE.yaml [STAGE]``: every look, line by line; and its result."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from clinical_qkt.bundle.stage import Stage
from clinical_qkt.checking import data, machine, packages, privacy_budget, promise, start
from clinical_qkt.checking.finding import Finding, problem
from clinical_qkt.core.errors import explained
from clinical_qkt.packages.model import is_model
from clinical_qkt.site.config import Site
from clinical_qkt.site.launch import Launch

LOOKS: dict[str, Callable[[Stage], Iterator[Finding]]] = {
    "datalist": data.findings,
    "pretrained": start.findings,
    "output": machine.places,
    "packages": packages.findings,
    "promise": promise.findings,
    "ledger": privacy_budget.findings,
    "disk": machine.disk,
    "device": machine.device,
    "memory and time": machine.memory_and_time,
}
"""What is looked at, by the name that an error of it is told under."""
_STYLES = {"ok": "green", "warning": "yellow", "problem": "bold red"}


def run_check(launch: Launch, console: Console, *, chosen: bool, as_json: bool) -> bool:
    """Print what was found; False if there is a problem.

    Args:
        chosen: the stage was named; else the one that comes next is checked.
        as_json: for scripts.
    """
    launch, found = looked_at(launch, chosen=chosen)
    good = all(f.state != "problem" for f in found)
    if as_json:
        facts = {"stage": launch.stage, "ok": good, "findings": [vars(f) for f in found]}
        print(json.dumps(facts, indent=2, ensure_ascii=False))
    else:
        show(console, launch, found)
    return good


def looked_at(launch: Launch, *, chosen: bool) -> tuple[Launch, list[Finding]]:
    """The stage, and what was found. Where the keys are wrong, nothing more can be said."""
    try:
        stage = Stage(launch)
        if not chosen:
            launch = replace(launch, stage=next_stage(stage.site))
            stage = Stage(launch)
    except Exception as e:
        return launch, [_told("keys and values", e)]
    found = [Finding("ok", "keys and values", f"as {launch.stage} needs them")]
    for what, look in LOOKS.items():
        try:
            found += look(stage)
        except Exception as e:
            found.append(_told(what, e))
    return launch, list(dict.fromkeys(found))


def next_stage(site: Site) -> str:
    """What a site can do next, by what is there already."""
    if not is_model(site.output_dir / "model"):
        return "train"
    if site.query and (site.teachers or site.numbers):
        return "evaluate" if (site.transfer_dir / "summary.json").is_file() else "transfer"
    return "query" if site.query and not site.query_dir.exists() else "evaluate"


def show(console: Console, launch: Launch, found: list[Finding]) -> None:
    """A table, and what to do about it."""
    table = Table(title=escape(f"{launch.site}: {launch.stage}"), title_justify="left")
    for heading in ("", "what", "found"):
        table.add_column(heading, overflow="fold")
    for one in found:
        told = Text(one.told)
        if one.fix:
            told.append(f"\nTo fix it: {one.fix}" if one.state == "problem" else f"\n{one.fix}", "dim")
        table.add_row(Text(one.state, _STYLES[one.state]), Text(one.what), told)
    console.print(table)
    problems, warnings = (sum(f.state == s for f in found) for s in ("problem", "warning"))
    noted = f", {warnings} to be noted" if warnings else ""
    if problems:
        counted = f"{problems} {'problem' if problems == 1 else 'problems'}{noted}"
        console.print(f"{counted}: {launch.stage} would not run.", markup=False)
    else:
        console.print(f"Nothing is in the way{noted}. Next:")
        console.print(launch.next_line(launch.stage), soft_wrap=True, markup=False, highlight=False)


def _told(what: str, error: Exception) -> Finding:
    """A user's problem as a line; anything else is a bug and goes on."""
    known = explained(error)
    if known is None:
        raise error
    return problem(what, known)
