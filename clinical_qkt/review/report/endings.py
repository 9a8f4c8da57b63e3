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

from clinical_qkt.core.terms import guarantee
from clinical_qkt.evidence.evaluation import Row
from clinical_qkt.review.report.facts import Summary
from clinical_qkt.review.report.headline import verdict
from clinical_qkt.review.report.spelled import joined, percent
from clinical_qkt.review.report.terminal import interval, print_transfer

Places = Mapping[str, str | Path]
"""What it is, and where it lies or how it is called: one line each."""


def print_trained(console: Console, site: str, rows: Mapping[str, Row], places: Places) -> None:
    """A trained model's recall by class on the validation images.

    Args:
        rows: as from ``metrics.per_class``.
    """
    table = Table(title=escape(f"{site}: trained"), title_justify="left")
    for heading in ("class", "validation images", "recall", "95 % interval"):
        table.add_column(heading, justify="left" if heading == "class" else "right")
    for name, row in rows.items():
        table.add_row(Text(name), str(row.support), percent(row.recall), interval(row))
    console.print(table)
    console.print("recall: of 100 validation images of the class, how many are recognised")
    print_places(console, places)


def print_predicted(
    console: Console, classes: Sequence[str], places: Places, refused: Sequence[bool] | None = None
) -> None:
    """How often each class was given to new images.

    Args:
        refused: of each image, whether the model says 'none of these'; None where it cannot.
    """
    table = Table(title=f"{len(classes)} {'image' if len(classes) == 1 else 'images'}", title_justify="left")
    table.add_column("called")
    table.add_column("images", justify="right")
    kept = [name for i, name in enumerate(classes) if not (refused and refused[i])]
    for name, count in Counter(kept).most_common():
        table.add_row(Text(name), str(count))
    if refused is not None:
        table.add_row(Text("(none of these)", style="italic"), str(sum(refused)))
    console.print(table)
    if refused is None:
        console.print("An image of a class that the model does not have is called one of these all the same.")
    else:
        console.print(
            f"{sum(refused)} of {len(classes)} images look like none of the model's classes, or unlike the "
            "site's own pictures: let a person look at them. Not every image of another class is noticed; "
            "the report says how many are."
        )
    print_places(console, places)


def print_response(console: Console, asker: str, answers: Sequence[Any], places: Places) -> None:
    """What a response package says, class by class.

    Args:
        answers: ``packages.answer.ClassResponse``.
    """
    table = Table(title=escape(f"answer to {asker}"), title_justify="left")
    for heading in ("class", "answer", "guarantee"):
        table.add_column(heading)
    for told in answers:
        what = told.kind.replace("_", " ") if told.kind else f"declined: {told.declined}"
        private = "none" if told.epsilon is None else guarantee(told.epsilon, told.delta, told.unit)
        table.add_row(Text(told.label.name), Text(what), private if told.kind else "")
    console.print(table)
    print_places(console, places)


def print_transferred(console: Console, summary: Summary, places: Places) -> None:
    """A transfer's table and sentences, where everything lies, and the verdict as the last line."""
    print_transfer(console, summary)
    print_places(console, places)
    told = "" if summary.accepted else f": {_why(summary)}, see above. {_WRITTEN}"
    console.print(f"[bold]{verdict(summary)}[/]{told}.", soft_wrap=True)


_WRITTEN = "The model was written all the same; the decision is yours"


def _why(summary: Summary) -> str:
    """How many lines of the rule speak against it, and how many are open."""
    outcomes = Counter(c.outcome for c in summary.criteria)
    lines = len(summary.criteria)
    told = []
    if outcomes["failed"]:
        told.append(f"{outcomes['failed']} of the rule's {lines} lines {_is(outcomes['failed'])} not met")
    if outcomes["undecided"]:
        lines_of = "" if told else f" of the rule's {lines} lines"
        told.append(f"{outcomes['undecided']}{lines_of} {_is(outcomes['undecided'])} undecided")
    return joined(told)


def _is(n: int) -> str:
    return "is" if n == 1 else "are"


def print_places(console: Console, places: Places) -> None:
    """Lines of a heading and a path or a command, which stays whole so that it can be copied."""
    width = max(map(len, places), default=0) + 2
    for what, where in places.items():
        console.print(f"{what + ':':<{width}}{where}", soft_wrap=True, markup=False, highlight=False)
