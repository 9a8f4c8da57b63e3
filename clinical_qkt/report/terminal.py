"""Tables for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from clinical_qkt.report.facts import Summary
from clinical_qkt.report.words import answer_sentence, few_sentences, percent, points, verdict


def print_transfer(console: Console, summary: Summary) -> None:
    """The one table that the demo ends with."""
    student = summary["student"]
    table = Table(
        title=Text(f"{student['site']} asked for: {', '.join(student['query'])}", style="italic"),
        title_justify="left",
    )
    table.add_column("class")
    table.add_column("test images", justify="right")
    table.add_column("before", justify="right")
    table.add_column("after", justify="right")
    table.add_column("95 % interval", justify="right")
    table.add_column("lost (points)", justify="right")
    for name, row in summary["after"]["per_class"].items():
        queried, earlier = name in student["query"], summary["before"]["per_class"][name]
        table.add_row(
            Text.assemble((name, "bold"), " (queried)") if queried else Text(name),
            str(row["support"]),
            percent(earlier["recall"]),
            percent(row["recall"]),
            interval(row),
            "" if queried else points(summary["forgetting"]["per_class"][name]),
            style="bold" if queried else None,
        )
    table.caption = "before, after: of 100 test images of the class, how many are recognised"
    console.print(table)
    for told in (answer_sentence(summary), *few_sentences(summary)):
        console.print(told, markup=False, emoji=False)
    if summary["accepted"]:
        console.print(f"[bold green]{verdict(summary)}.[/]")
    for reason in summary["against"]:
        console.print(f"[bold yellow]{verdict(summary)}:[/] {escape(reason)}.")
    if summary["untrusted_packages"]:
        told = escape(", ".join(summary["untrusted_packages"]))
        console.print(f"[bold yellow]Nobody vouches for the packages of[/] {told}.")


def print_per_class(rows: dict[str, Any], title: str) -> None:
    """A model's recall per class, for ``evaluate``."""
    table = Table(title=escape(title), title_justify="left")
    for heading in ("class", "test images", "recall", "95 % interval", "precision", "F1", "AUROC"):
        table.add_column(heading, justify="left" if heading == "class" else "right")
    for name, row in rows.items():
        table.add_row(
            Text(name),
            str(row["support"]),
            percent(row["recall"]),
            interval(row),
            *(percent(row[k]) for k in ("precision", "f1", "auroc")),
        )
    Console().print(table)


def interval(row: Mapping[str, Any]) -> str:
    """The 95 % interval of a class's recall; a dash where there is none."""
    ends = row["recall_ci95"]
    return f"{percent(ends[0])} to {percent(ends[1])}" if ends else "-"
