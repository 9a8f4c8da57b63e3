"""What a stage ends with: what came of it, where it lies, and the next command."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from clinical_qkt.report.facts import Summary
from clinical_qkt.report.terminal import interval, print_transfer
from clinical_qkt.report.words import percent, verdict

Places = Mapping[str, str | Path]
"""What it is, and where it lies or how it is called: one line each."""


def print_trained(console: Console, site: str, rows: Mapping[str, Mapping[str, Any]], places: Places) -> None:
    """A trained model's recall by class on the validation images.

    Args:
        rows: as from ``metrics.per_class``.
    """
    table = Table(title=escape(f"{site}: trained"), title_justify="left")
    for heading in ("class", "validation images", "recall", "95 % interval"):
        table.add_column(heading, justify="left" if heading == "class" else "right")
    for name, row in rows.items():
        table.add_row(Text(name), str(row["support"]), percent(row["recall"]), interval(row))
    console.print(table)
    console.print("recall: of 100 validation images of the class, how many are recognised")
    print_places(console, places)


def print_predicted(console: Console, classes: Sequence[str], places: Places) -> None:
    """How often each class was given to new images."""
    table = Table(title=f"{len(classes)} {'image' if len(classes) == 1 else 'images'}", title_justify="left")
    table.add_column("called")
    table.add_column("images", justify="right")
    for name, count in Counter(classes).most_common():
        table.add_row(Text(name), str(count))
    console.print(table)
    console.print("An image of a class that the model does not have is called one of these all the same.")
    print_places(console, places)


def print_answered(console: Console, asker: str, answers: Sequence[Any], places: Places) -> None:
    """What an answer package says, class by class.

    Args:
        answers: ``packages.answer.ClassAnswer``.
    """
    table = Table(title=escape(f"answer to {asker}"), title_justify="left")
    for heading in ("class", "answer", "guarantee"):
        table.add_column(heading)
    for told in answers:
        what = told.kind.replace("_", " ") if told.kind else f"declined: {told.declined}"
        private = f"({told.epsilon:g}, {told.delta:g})-private" if told.epsilon is not None else "none"
        table.add_row(Text(told.label.name), Text(what), private if told.kind else "")
    console.print(table)
    print_places(console, places)


def print_transferred(console: Console, summary: Summary, places: Places) -> None:
    """A transfer's table and sentences, where everything lies, and the verdict as the last line."""
    print_transfer(console, summary)
    print_places(console, places)
    why = len(summary["against"])
    said = f"{why} {'reason speaks' if why == 1 else 'reasons speak'} against it, see above"
    told = (
        "" if summary["accepted"] else f": {said}. The model was written all the same; the decision is yours"
    )
    console.print(f"[bold]{verdict(summary)}[/]{told}.", soft_wrap=True)


def print_places(console: Console, places: Places) -> None:
    """Lines of a heading and a path or a command, which stays whole so that it can be copied."""
    width = max(map(len, places), default=0) + 2
    for what, where in places.items():
        console.print(f"{what + ':':<{width}}{where}", soft_wrap=True, markup=False, highlight=False)
