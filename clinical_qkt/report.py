"""Figures, ``report.html`` and the tables that the terminal shows: one summary, told to people."""

from __future__ import annotations

import base64
from functools import partial
from pathlib import Path
from typing import Any

import jinja2
import matplotlib

matplotlib.use("Agg")
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from clinical_qkt import __version__
from clinical_qkt.files import write_text, write_whole

plt.rcParams["text.parse_math"] = False  # a dollar sign in another site's class name is a dollar sign
# Okabe and Ito's palette: told apart by colour-blind readers, and in grey.
BEFORE, AFTER, QUERIED = "#999999", "#0072B2", "#D55E00"


def write(folder: Path, summary: dict[str, Any]) -> None:
    """Write ``figures/*.png`` and ``report.html``, which embeds them and needs no network.

    Args:
        folder: of the transfer.
        summary: as in ``summary.json``.
    """
    confusions = np.array(summary["before"]["confusion"]), np.array(summary["after"]["confusion"])
    names = summary["student"]["classes"] + summary["student"]["query"]
    drawn = {
        "recall": draw_recall(summary, names),
        "confusion": draw_confusion(confusions, names),
        **({"masks": draw_masks(summary)} if summary["teachers"] else {}),
        **({"answers": draw_answers(summary)} if answered(summary) else {}),
    }
    pictures = {}
    for name, figure in drawn.items():
        path = folder / "figures" / f"{name}.png"
        write_whole(path, partial(figure.savefig, dpi=130, metadata={"Software": None}))
        plt.close(figure)
        pictures[name] = base64.b64encode(path.read_bytes()).decode("ascii")
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("clinical_qkt"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters |= {"percent": percent, "points": points}
    page = environment.get_template("report.html.j2").render(
        s=summary,
        names=names,
        answer=answer_sentence(summary),
        pictures=pictures,
        confusions=[c.tolist() for c in confusions],
        answered=answered(summary),
        relabelled=relabelled(summary),
        version=__version__,
    )
    write_text(folder / "report.html", page)


def answer_sentence(summary: dict[str, Any]) -> str:
    """The result in plain words."""
    query = " and ".join(summary["student"]["query"])
    gained, lost, budget = (
        summary["after"]["query_recall"],
        summary["forgetting"]["mean"],
        summary["budget"]["forgetting"],
    )
    tested = sum(summary["after"]["per_class"][n]["support"] for n in summary["student"]["query"])
    if gained is None:
        first = (
            f"The model was taught {query}. How well it recognises that is unknown: "
            "there are no test images of it."
        )
    else:
        first = (
            f"The model now recognises {query} in {100 * gained:.0f} of 100 cases "
            f"(before: {100 * summary['before']['query_recall']:.0f}), measured on {tested} test images."
        )
    if lost is None:
        second = "What it forgot is unknown."
    elif lost <= 0:
        second = f"On the classes that it knew before it lost nothing ({budget:g} points were allowed)."
    else:
        second = (
            f"On the classes that it knew before it lost {100 * lost:.1f} points of recall on average "
            f"({budget:g} were allowed)."
        )
    return f"{first} {second}"


def draw_recall(summary: dict[str, Any], names: list[str]) -> Figure:
    """Recall per class before and after, with 95 % intervals."""
    figure, axes = plt.subplots(figsize=(8.2, 0.62 * len(names) + 1.5), layout="constrained")
    query = set(summary["student"]["query"])
    for offset, when, colour in ((-0.19, "before", BEFORE), (0.19, "after", AFTER)):
        for i, name in enumerate(names):
            row = summary[when]["per_class"][name]
            if row["recall"] is None:
                axes.text(1, i + offset, "no test images", va="center", fontsize=8, color="#555555")
                continue
            low, high = row["recall_ci95"]
            shown = QUERIED if name in query and when == "after" else colour
            axes.barh(i + offset, 100 * row["recall"], 0.36, color=shown)
            axes.plot([100 * low, 100 * high], [i + offset] * 2, color="black", lw=1.4)
            axes.text(101.5, i + offset, f"{100 * row['recall']:.0f}", va="center", fontsize=9)
    axes.set_yticks(range(len(names)), [f"{n}\n(queried)" if n in query else n for n in names])
    axes.invert_yaxis()
    axes.set(xlim=(0, 108), xlabel="recognised, of 100 test images of the class (black line: 95 % interval)")
    handles = [plt.Rectangle((0, 0), 1, 1, color=c) for c in (BEFORE, AFTER, QUERIED)]
    figure.legend(
        handles,
        ["before", "after", "after, queried class"],
        loc="outside upper center",
        ncols=3,
        frameon=False,
    )
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def draw_confusion(confusions: tuple[Any, Any], names: list[str]) -> Figure:
    """What images of each class were called, before and after, as shares of the class."""
    size = 0.52 * len(names) + 2.2
    figure, pair = plt.subplots(1, 2, figsize=(2 * size, size), layout="constrained", sharey=True)
    for axes, counts, when in zip(pair, confusions, ("before", "after"), strict=True):
        shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for i, j in zip(*np.nonzero(counts), strict=True):
            light = shares[i, j] > 0.55
            axes.text(
                j, i, counts[i, j], ha="center", va="center", fontsize=8, color="white" if light else "black"
            )
        axes.set_xticks(range(len(names)), names, rotation=45, ha="right", fontsize=9)
        axes.set_yticks(range(len(names)), names, fontsize=9)
        axes.set(title=when, xlabel="called by the model")
    pair[0].set_ylabel("true class")
    return figure


def draw_masks(summary: dict[str, Any]) -> Figure:
    """Which teacher knows which class, as the noise probes say."""
    classes = list(dict.fromkeys(c for t in summary["teachers"] for c in t["classes"]))
    teachers = summary["teachers"]
    scores = np.array([[t["mask"].get(c, np.nan) for c in classes] for t in teachers])
    figure, axes = plt.subplots(
        figsize=(0.85 * len(classes) + 2.4, 0.5 * len(teachers) + 2.4), layout="constrained"
    )
    colours = plt.get_cmap("Blues").with_extremes(bad="#eeeeee")
    image = axes.imshow(scores, cmap=colours, vmin=0, vmax=1, aspect="auto")
    for i, t in enumerate(teachers):
        for j, c in enumerate(classes):
            if c in t["mask"]:
                mark = "knows" if c in t["known"] else "does not"
                dark = scores[i, j] > 0.55
                axes.text(
                    j,
                    i,
                    f"{mark}\n{scores[i, j]:.2f}",
                    ha="center",
                    va="center",
                    fontsize=8,
                    color="white" if dark else "black",
                )
    query = summary["student"]["query"]
    axes.set_xticks(
        range(len(classes)), [f"{c} ?" if c in query else c for c in classes], rotation=30, ha="right"
    )
    axes.set_yticks(range(len(teachers)), [f"{t['site']}{' *' if t['relevant'] else ''}" for t in teachers])
    axes.set_title("grey: not in the label list; ?: queried; *: relevant teacher", fontsize=9)
    figure.colorbar(image, label="score on probes")
    return figure


def answered(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """One row for each site and class that was answered for with statistics, with the site's name."""
    return [
        {"site": a["site"], **row}
        for a in summary["answers"]
        for row in a["classes"]
        if row["kind"] is not None
    ]


def relabelled(summary: dict[str, Any]) -> dict[str, list[str]]:
    """By teacher, its classes that are parts of one of the student's, or none of them; empty if all are."""
    told = {
        t["site"]: [
            f"{row['class']}: {'part of ' + row['as'] if row['as'] else row['how']}"
            for row in t["alignment"]
            if row["how"] == "merged" or row["as"] is None
        ]
        for t in summary["teachers"]
    }
    return told if any(told.values()) else {}


def draw_answers(summary: dict[str, Any]) -> Figure:
    """How far each site's answer lies from the other sites', and how far it may."""
    rows = answered(summary)
    figure, axes = plt.subplots(figsize=(8.2, 0.45 * len(rows) + 1.6), layout="constrained")
    for i, row in enumerate(rows):
        axes.barh(i, row["distance"], 0.6, color=QUERIED if row["far_off"] else AFTER)
        axes.plot([row["limit"]] * 2, [i - 0.4, i + 0.4], color="black", lw=2)
        note = "  far off" if row["far_off"] else ""
        axes.text(
            max(row["distance"], row["limit"]), i, f"  {row['distance']:.2f}{note}", va="center", fontsize=9
        )
    axes.set_yticks(range(len(rows)), [f"{r['site']}: {r['class']}" for r in rows])
    axes.invert_yaxis()
    axes.set(xlabel="distance from the other sites' answers, in spreads within a class (black line: limit)")
    axes.set_xlim(0, 1.25 * max(max(r["distance"], r["limit"]) for r in rows))
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def print_transfer(console: Console, summary: dict[str, Any]) -> None:
    """The one table that the demo ends with."""
    student = summary["student"]
    table = Table(title=f"{student['site']} asked for: {', '.join(student['query'])}", title_justify="left")
    table.add_column("class")
    table.add_column("test images", justify="right")
    table.add_column("before", justify="right")
    table.add_column("after", justify="right")
    table.add_column("95 % interval", justify="right")
    table.add_column("lost (points)", justify="right")
    for name, row in summary["after"]["per_class"].items():
        queried, earlier = name in student["query"], summary["before"]["per_class"][name]
        interval = row["recall_ci95"]
        table.add_row(
            f"[bold]{escape(name)}[/] (queried)" if queried else escape(name),
            str(row["support"]),
            percent(earlier["recall"]),
            percent(row["recall"]),
            f"{percent(interval[0])} to {percent(interval[1])}" if interval else "-",
            "" if queried else points(summary["forgetting"]["per_class"][name]),
            style="bold" if queried else None,
        )
    table.caption = "before, after: of 100 test images of the class, how many are recognised"
    console.print(table)
    console.print(answer_sentence(summary), markup=False)
    if summary["accepted"]:
        console.print("[bold green]Within the forgetting budget.[/]")
    for reason in summary["against"]:
        console.print(f"[bold yellow]Not accepted:[/] {reason}.")
    if summary["untrusted_packages"]:
        told = escape(", ".join(summary["untrusted_packages"]))
        console.print(f"[bold yellow]Nobody vouches for the packages of[/] {told}.")


def print_per_class(rows: dict[str, Any], title: str) -> None:
    """A model's recall per class, for ``evaluate``."""
    table = Table(title=title, title_justify="left")
    for heading in ("class", "test images", "recall", "precision", "F1", "AUROC"):
        table.add_column(heading, justify="left" if heading == "class" else "right")
    for name, row in rows.items():
        table.add_row(
            escape(name),
            str(row["support"]),
            *(percent(row[k]) for k in ("recall", "precision", "f1", "auroc")),
        )
    Console().print(table)


def percent(share: float | None) -> str:
    """A share as whole percents; a dash if unknown.

    >>> percent(0.957), percent(None)
    ('96', '–')
    """
    return "–" if share is None else f"{100 * share:.0f}"


def points(share: float | None) -> str:
    """A difference of shares as points, with its sign.

    >>> points(0.0213)
    '+2.1'
    """
    return "–" if share is None else f"{100 * share + 0.0:+.1f}"
