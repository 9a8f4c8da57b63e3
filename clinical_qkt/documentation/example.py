"""The worked example for clinicians, made from a demo: pictures, figures, and the summary behind them.

What the README shows of a demo is made here, too.

Run in a checkout: ``python -m clinical_qkt.documentation.example runs/demo``.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from clinical_qkt.core.files import write_text
from clinical_qkt.documentation.schema_tables import between_marks
from clinical_qkt.review.report import (
    alternatives,
    facts,
    figures,
    headline,
    page,
    practice,
    promise,
    rule,
    spelled,
    words,
)
from clinical_qkt.review.report.facts import Summary
from clinical_qkt.review.report.terminal import print_transfer
from clinical_qkt.review.summary_schema import TransferSummary

BY = "clinical_qkt.documentation.example"
PAGE = Path("docs/for-clinicians/worked-example.md")
SUMMARY = PAGE.with_name("demo-summary.json")
README = Path("README.md")
PICTURES = Path("docs/pictures")
SHOWN = ("recall", "promise", "base_rates", "confusion", "calibration", "thresholds", "masks")
"""Figures that the page has."""
DPI = 100
"""Of the pictures: small files, still sharp enough to be read."""


def text(summary: Summary, current: str) -> str:
    """The page with every block made anew; what stands between the blocks is kept."""
    probabilities = " ".join(words.calibration_sentences(summary))
    blocks = {
        "story": story(summary),
        "answer": answer(summary),
        "practice": f"{picture('base_rates', summary)}\n\n{practice_table(summary)}",
        "classes": f"{picture('recall', summary)}\n\n{classes(summary)}",
        "promise": f"{picture('promise', summary)}\n\n{promised(summary)}",
        "mistakes": f"{picture('confusion', summary)}\n\n{mistakes(summary)}",
        "probabilities": f"{picture('calibration', summary)}\n\n{probabilities}",
        "thresholds": f"{picture('thresholds', summary)}\n\n{thresholds(summary)}",
        "sources": f"{picture('masks', summary)}\n\n{sources(summary)}",
    }
    for name, block in blocks.items():
        current = between_marks(current, BY, name, block)
    return current


def printed(summary: Summary) -> str:
    """What the terminal shows of the demo's result, indented as Markdown shows it unchanged."""
    console = Console(width=76, record=True, file=io.StringIO())
    print_transfer(console, summary)
    lines = console.export_text().strip("\n").splitlines()
    return "\n".join(f"    {line}".rstrip() for line in lines)


def story(summary: Summary) -> str:
    """Who asked whom for what."""
    student, teachers = summary.student, [t.site for t in summary.teachers]
    return (
        f"The hospital `{student.site}` tells {len(student.classes)} kinds of blood cells apart: "
        f"{words.joined(student.classes)}. It never sees a {words.joined(student.query)} and asks "
        f"for it. {len(teachers)} other hospitals hand over their models: {words.joined(teachers)}."
    )


def answer(summary: Summary) -> str:
    """What stands first in the report: question, verdict, sentence, rule."""
    rows = [
        f"| {cell(line.what)} | {line.bound} | {line.measured} | {line.worst} | {line.outcome} |"
        for line in rule.lines(summary)
    ]
    quoted = [
        f"> {headline.question(summary)}",
        ">",
        f"> **{headline.verdict(summary)}.** {headline.verdict_sentence(summary)}",
    ]
    head = ["| what | asked for | measured | may be | outcome |", "| --- | ---: | ---: | ---: | --- |"]
    told = [f"{sentence}" for sentence in rule.open_lines(summary)]
    return "\n".join([*quoted, "", *head, *rows, "", *told]).rstrip()


def practice_table(summary: Summary) -> str:
    """What an answer means where the class is rarer."""
    lines = [
        "| of 100 images show it | of 100 answers that name it, right | false alarms among 1,000 images |",
        "| ---: | ---: | ---: |",
    ]
    for name in summary.student.query:
        lines += [
            f"| {rung.share} | {rung.right} ({rung.right_ends}) | {rung.alarms} ({rung.alarms_ends}) |"
            for rung in practice.rungs(summary, name)
        ]
    return "\n".join(lines)


def classes(summary: Summary) -> str:
    """A row for each class."""
    lines = [
        "| class | test images | before, of 100 | after, of 100 | probably between | lost |",
        "| --- | ---: | ---: | ---: | --- | ---: |",
    ]
    for name in summary.names:
        before, after = summary.before.per_class[name], summary.after.per_class[name]
        low, high = after.recall_ci95 or (None, None)
        queried = name in summary.student.query
        columns = [
            cell(name) + (" (queried)" if queried else ""),
            str(after.support),
            words.percent(before.recall),
            words.percent(after.recall),
            f"{words.percent(low)} and {words.percent(high)}",
            "" if queried else spelled.lost(summary.forgetting.per_class[name]),
        ]
        lines.append(f"| {' | '.join(columns)} |")
    return "\n".join(lines)


def promised(summary: Summary) -> str:
    """What was promised of the classes known before, and what came of it."""
    lines = [
        "| lost | limit | held-out images | bound | test images | probably |",
        f"| --- |{' ---: |' * 5}",
    ]
    for one in promise.both(summary):
        columns = [
            one.what,
            f"{100 * one.limit:g}",
            spelled.lost(one.held_out),
            promise.at_most(one.bound),
            spelled.lost(one.tested),
            spelled.lost_ends(one.ends),
        ]
        lines.append(f"| {' | '.join(columns)} |")
    return "\n".join([promise.told(summary), "", *lines])


def mistakes(summary: Summary) -> str:
    """Those that became more common, in words."""
    grown = [m for m in facts.mistakes(summary) if m.more > 0]
    return (
        "\n".join(f"{i}. {words.mistake_sentence(m)}" for i, m in enumerate(grown, 1)) or "No mistake grew."
    )


def thresholds(summary: Summary) -> str:
    """What the model does by default, and what else it could."""
    told = []
    for name in summary.student.query:
        told += [words.default_sentence(summary, name), *words.threshold_sentences(summary, name)]
    return " ".join(told)


def sources(summary: Summary) -> str:
    """A row for each teacher."""
    query = summary.student.query
    heads = [f"own figure, {cell(n)}" for n in query]
    lines = [
        f"| hospital | signature | knows | {' | '.join(heads)} |",
        f"| --- | --- | --- |{' ---: |' * len(query)}",
    ]
    for t in summary.teachers:
        told = [words.percent(t.recall.get(n)) for n in query]
        lines.append(f"| {t.site} | {t.signature} | {cell(', '.join(t.known))} | {' | '.join(told)} |")
    return "\n".join(lines)


def picture(name: str, summary: Summary) -> str:
    """A picture with its text alternative, as Markdown."""
    told = alternatives.ALL[name](summary).removesuffix(alternatives.TABLE).strip()
    return f"![{told}](../pictures/demo-{name}.png)"


def cell(value: str) -> str:
    """Text in a table's cell."""
    return value.replace("|", r"\|")


def lasting(content: dict[str, Any]) -> dict[str, Any]:
    """A summary's JSON without what differs from run to run."""
    nobody = dict.fromkeys(content["identity"], "") | {"model_version": None, "commit": None}
    return content | {"identity": nobody, "seconds": {}, "rule": content["rule"] | {"used_since": None}}


def main(folder: Annotated[Path, typer.Argument(help="Of a finished demo.")]) -> None:
    """Write the worked example's figures, its pictures, and the summary that they come from."""
    content = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    content = lasting(content)
    summary = TransferSummary.model_validate(content)
    if not summary.teachers:
        raise typer.BadParameter("the page shows a demo with models, and this one has none")
    write_text(PAGE, text(summary, PAGE.read_text(encoding="utf-8")))
    write_text(README, between_marks(README.read_text(encoding="utf-8"), BY, "printed", printed(summary)))
    write_text(SUMMARY, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    for name, figure in figures.drawn(summary, names=SHOWN).items():
        page.save(PICTURES / f"demo-{name}.png", figure, DPI)


if __name__ == "__main__":
    typer.run(main)
