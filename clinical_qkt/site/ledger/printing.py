"""A site's ledger for people: what left, what was answered, and what is spent of the privacy budget."""

from __future__ import annotations

import json
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from clinical_qkt.site.ledger.file import ASSESSMENT, LOOK, MASK
from clinical_qkt.site.ledger.ledger import Ledger

DIGITS = 8
"""Of a digest that are shown to people."""
_HIDES = {"patient": "that hide a patient", "image": "that hide an image"}
_EARLIER = "of an earlier version, which did not write down whom they hide"


def print_ledger(console: Console, ledger: Ledger, delta: float) -> None:
    """What left the site and what was answered, as tables; and what is spent."""
    console.print(_departures(ledger))
    console.print(_responses(ledger))
    judged = ledger.lines("judged")
    if judged:
        sets = len({line["test_sha256"] for line in judged})
        models = len({line["weights_sha256"] for line in judged})
        console.print(f"Models that were judged by a rule: {models}, on {sets} sets of test images.")
    for line in spent_lines(ledger, delta):
        console.print(line, soft_wrap=True)


def as_data(ledger: Ledger, delta: float) -> dict[str, Any]:
    """The same for programs."""
    answers = ledger.lines()
    return {"packages": ledger.lines("departures"), "answers": answers, "spent": ledger.spent_by_unit(delta)}


def spent_lines(ledger: Ledger, delta: float) -> list[str]:
    """What is spent, for each unit that responses hide."""
    spent = ledger.spent_by_unit(delta) or {"patient": 0.0}
    told = [
        f"All private responses {_HIDES.get(unit, _EARLIER)}, together: "
        f"epsilon {epsilon:.2f} at delta {delta:g}."
        for unit, epsilon in spent.items()
    ]
    if len(spent) > 1:
        told.append(
            "These do not add up: what hides an image hides a patient less, the more images of a class the "
            "patient has. See 'images_per_patient' in docs/reference/site-yaml.md."
        )
    return told


def _departures(ledger: Ledger) -> Table:
    left = Table(title=escape(f"packages in {ledger.path}"), title_justify="left")
    for heading in ("time (UTC)", "package", "to", "bytes", "card", "signed by"):
        left.add_column(heading, no_wrap=heading != "to", overflow="fold")
    left.caption = "card, signed by: the first digits of SHA-256 of the card and the key; all with --json"
    for line in ledger.lines("departures"):
        marks = (line[k][:DIGITS] if line[k] else "nobody" for k in ("card_sha256", "signed_with"))
        told = (line["kind"], Text(line["sent_to"]), f"{line['bytes']:,}")
        left.add_row(line["time"][:16].replace("T", " "), *told, *marks)
    return left


def _responses(ledger: Ledger) -> Table:
    table = Table(title=escape(f"responses in {ledger.path}"), title_justify="left")
    for heading in ("time (UTC)", "asked by", "class", "response", "hides", "epsilon", "delta"):
        table.add_column(heading)
    for line in ledger.lines():
        cost = [f"{line[k]:g}" if line[k] is not None else "" for k in ("epsilon", "delta")]
        private = line["noise_multiplier"] is not None
        hides = f"one {line['unit']}" if private and line["unit"] else "not known" if private else ""
        told = (Text(line["asked_by"]), Text(line["class"]), Text(_what(line)), hides)
        table.add_row(line["time"][:19], *told, *cost)
    return table


def _what(line: dict[str, Any]) -> str:
    release = json.loads(line["release"])
    if line["kind"] != ASSESSMENT and (release is None or "declined" in release):
        return "declined"
    if line["kind"] == LOOK:
        return f"compared: {release['compared']}"
    if line["kind"] == ASSESSMENT:
        return "its model, measured"
    return "mask of a model" if line["kind"] == MASK else str(line["kind"]).replace("_", " ")
