"""Tables for the terminal."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from clinical_qkt.evidence.evaluation import Row
from clinical_qkt.review.report import looks, others, promise, rule
from clinical_qkt.review.report.facts import Summary
from clinical_qkt.review.report.headline import KINDS, few_sentences, verdict, verdict_sentence
from clinical_qkt.review.report.spelled import ends, lost, percent, rates, signs
from clinical_qkt.review.report.spelled import rate as of_hundred

COLOURS = {"yes": "green", "no": "red", "open": "yellow"}


def print_transfer(console: Console, summary: Summary) -> None:
    """What the demo ends with: a row for each class, the rule line by line, the sentence, the verdict."""
    console.print(_classes(summary))
    console.print(_rule(summary))
    seen = [*others.sentences(summary), *looks.sentences(summary)]
    told = verdict_sentence(summary), *few_sentences(summary), *seen, rule.whose(summary), rule.tries(summary)
    for sentence in (*told, promise.told(summary)):
        console.print(sentence, markup=False, emoji=False)
    if summary.untrusted_packages:
        packages = escape(", ".join(summary.untrusted_packages))
        console.print(f"[bold yellow]Nobody vouches for the packages of[/] {packages}.")
    for sentence in rule.open_lines(summary):
        console.print(f"[bold {COLOURS['open']}]Undecided:[/] {escape(sentence)}")
    console.print(f"[bold {COLOURS[KINDS[summary.verdict]]}]{verdict(summary)}.[/]")


def _classes(summary: Summary) -> Table:
    query = summary.student.query
    table = Table(
        title=Text(f"{summary.student.site} asked for: {', '.join(query)}", style="italic"),
        title_justify="left",
    )
    table.add_column("class")
    for heading in ("test images", "before", "after", "95 % interval", "lost (points)"):
        table.add_column(heading, justify="right")
    for name, row in summary.after.per_class.items():
        queried, earlier = name in query, summary.before.per_class[name]
        table.add_row(
            Text.assemble((name, "bold"), " (queried)") if queried else Text(name),
            str(row.support),
            percent(earlier.recall),
            percent(row.recall),
            ends(row.recall_ci95),
            "" if queried else lost(summary.forgetting.per_class[name]).removeprefix("lost "),
            style="bold" if queried else None,
        )
    alarms = [part.false_alarms.overall for part in (summary.before, summary.after)]
    shares = [signs(of_hundred(a.share)) if a.share is not None else "–" for a in alarms]
    images = str(alarms[1].images)
    table.add_section()
    table.add_row("others, called a queried one", images, *shares, rates(alarms[1].ci95), "")
    table.caption = "before, after: of 100 test images of the class, how many are recognised"
    return table


def _rule(summary: Summary) -> Table:
    table = Table(title="the rule", title_justify="left")
    table.caption = "of 100 test images, or points; may be: at the bad end of the interval"
    table.add_column("what")
    for heading in ("measured", "may be", "asked for"):
        table.add_column(heading, justify="right")
    table.add_column("outcome")
    table.add_column("limit")
    for line in rule.lines(summary):
        outcome = Text(line.outcome, style=f"bold {COLOURS[line.kind]}")
        table.add_row(line.short, line.measured, line.worst, line.bound, outcome, line.whose)
    return table


def print_per_class(rows: Mapping[str, Row], title: str) -> None:
    """A model's recall per class, for ``evaluate``."""
    table = Table(title=escape(title), title_justify="left")
    for heading in ("class", "test images", "recall", "95 % interval", "precision", "F1", "AUROC"):
        table.add_column(heading, justify="left" if heading == "class" else "right")
    for name, row in rows.items():
        table.add_row(
            Text(name),
            str(row.support),
            percent(row.recall),
            interval(row),
            *(percent(share) for share in (row.precision, row.f1, row.auroc)),
        )
    Console().print(table)


def interval(row: Row) -> str:
    """The 95 % interval of a class's recall; a dash where there is none."""
    return ends(row.recall_ci95)
