"""The report's figures, one function each. Drawn without pyplot, which keeps state and takes longer."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from clinical_qkt.report import facts
from clinical_qkt.report.facts import Summary

# Okabe and Ito's palette: told apart by colour-blind readers, and in grey.
BEFORE, AFTER, QUERIED = "#999999", "#0072B2", "#D55E00"
WIDTH = 7.4
"""Of a figure in inches; at ``DPI`` the page shows it nearly as large as it is."""
DPI = 130
LONGEST = 40
"""Characters of a name that a figure shows; the tables show all of it."""


@matplotlib.rc_context({"text.parse_math": False})  # a dollar sign in another site's class name is one
def drawn(summary: Summary) -> dict[str, Figure]:
    """Every figure that this summary has something for, by name."""
    wanted: dict[str, tuple[Callable[[Summary], Figure], Any]] = {
        "recall": (draw_recall, True),
        "confusion": (draw_confusion, True),
        "calibration": (draw_calibration, summary["after"]["calibration"]["images"]),
        "thresholds": (draw_thresholds, summary["after"]["calibration"]["images"]),
        "masks": (draw_masks, summary["teachers"]),
        "answers": (draw_answers, facts.answered(summary)),
    }
    return {name: draw(summary) for name, (draw, needed) in wanted.items() if needed}


def draw_recall(summary: Summary) -> Figure:
    """Recall per class before and after, with 95 % intervals."""
    names, query = facts.names_of(summary), summary["student"]["query"]
    figure = Figure(figsize=(WIDTH, 0.62 * len(names) + 1.5), layout="constrained")
    axes = figure.subplots()
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
    axes.set_yticks(
        range(len(names)), [f"{_short(n)}\n(queried)" if n in query else _short(n) for n in names]
    )
    axes.set(ylim=(len(names) - 0.5, -0.5), xlim=(0, 108))
    axes.set(xlabel="recognised, of 100 test images of the class (black line: 95 % interval)")
    figure.legend(
        [Patch(color=c) for c in (BEFORE, AFTER, QUERIED)],
        ["before", "after", "after, queried class"],
        loc="outside upper center",
        ncols=3,
        frameon=False,
    )
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def draw_confusion(summary: Summary) -> Figure:
    """What images of each class were called, before and after, as shares of the class."""
    names = facts.names_of(summary)
    labels = [_short(n) for n in names]
    longest = max(len(line) for label in labels for line in label.splitlines())
    size = 0.42 * len(names) + max(1.6, 0.5 + 0.07 * longest)
    figure = Figure(figsize=(2 * size, size), layout="constrained")
    pair = figure.subplots(1, 2, sharey=True)
    for axes, when in zip(pair, ("before", "after"), strict=True):
        counts = np.array(summary[when]["confusion"])
        shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for i, j in zip(*np.nonzero(counts), strict=True):
            _in_cell(axes, i, j, str(counts[i, j]), shares[i, j])
        axes.set_xticks(range(len(names)), labels, rotation=45, ha="right", fontsize=9)
        axes.set_yticks(range(len(names)), labels, fontsize=9)
        axes.set(title=when, xlabel="called by the model")
    pair[0].set_ylabel("true class")
    return figure


def draw_calibration(summary: Summary) -> Figure:
    """How often the model is right, against the probability that it states; below, on how many images."""
    figure = Figure(figsize=(0.75 * WIDTH, 4.9), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
    rows = facts.bins(summary)
    upper.plot([0, 100], [0, 100], color="black", lw=1, ls=":", label="as often right as it says")

    for when, colour, mark in (("before", BEFORE, "s"), ("after", AFTER, "o")):
        seen = [r[when] for r in rows if r[when]["images"]]
        stated, right = ([100 * b[key] for b in seen] for key in ("stated", "right"))
        upper.plot(stated, right, mark, ls="-", lw=1.2, color=colour, label=when, clip_on=False, zorder=3)
    for row in rows:
        if row["after"]["images"]:
            low, high = row["after"]["interval"]
            upper.plot([100 * row["after"]["stated"]] * 2, [100 * low, 100 * high], color=AFTER, lw=1)
    upper.set(xlim=(0, 100), ylim=(0, 100), ylabel="right, of 100 images")
    figure.legend(loc="outside upper center", ncols=3, frameon=False)
    for shift, when, colour in ((3, "before", BEFORE), (7, "after", AFTER)):
        where = [100 * r["low"] + shift for r in rows]
        lower.bar(where, [r[when]["images"] for r in rows], 3.6, color=colour)
    lower.set(xlabel="probability that the model states, in % (blue lines: 95 % interval)", ylabel="images")
    for axes in (upper, lower):
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def draw_thresholds(summary: Summary) -> Figure:
    """What would be found, and falsely called so, if a queried class were named from a probability on."""
    query = summary["student"]["query"]
    figure = Figure(figsize=(WIDTH, 3.7 * len(query) + 0.3), layout="constrained")
    grid = figure.subplots(len(query), 1, squeeze=False)[:, 0]
    for axes, name in zip(grid, query, strict=True):
        rows = summary["after"]["thresholds"][name]
        at = [100 * r["threshold"] for r in rows]
        drawn_as = (
            ("recognised", QUERIED, "o", "-", f"of 100 images of {_short(name)}, found"),
            ("false_alarms", AFTER, "s", "--", f"of 100 other images, falsely called {_short(name)}"),
        )
        for key, colour, mark, line, label in drawn_as:
            if all(r[key] is not None for r in rows):
                shares = [100 * r[key] for r in rows]
                axes.plot(at, shares, mark, ls=line, color=colour, ms=4, label=label, clip_on=False)
        axes.set(xlim=(0, 100), ylim=(0, 100), ylabel="of 100 images")
        axes.set_xlabel(f"{_short(name)} is named from this probability on, in %")
        axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1))
        axes.grid(axis="y", color="#dddddd", lw=0.7)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def draw_masks(summary: Summary) -> Figure:
    """Which teacher knows which class, as the noise probes say."""
    teachers, query = summary["teachers"], summary["student"]["query"]
    classes = list(dict.fromkeys(c for t in teachers for c in t["classes"]))
    scores = np.array([[t["mask"].get(c, np.nan) for c in classes] for t in teachers])
    figure = Figure(figsize=(0.85 * len(classes) + 2.4, 0.5 * len(teachers) + 2.4), layout="constrained")
    axes = figure.subplots()
    colours = matplotlib.colormaps["Blues"].with_extremes(bad="#eeeeee")
    image = axes.imshow(scores, cmap=colours, vmin=0, vmax=1, aspect="auto")
    for i, t in enumerate(teachers):
        for j, c in enumerate(classes):
            if c in t["mask"]:
                mark = "knows" if c in t["known"] else "does not"
                _in_cell(axes, i, j, f"{mark}\n{scores[i, j]:.2f}", scores[i, j])
    shown = [f"{_short(c)} ?" if c in query else _short(c) for c in classes]
    axes.set_xticks(range(len(classes)), shown, rotation=30, ha="right")
    axes.set_yticks(
        range(len(teachers)), [f"{_short(t['site'])}{' *' if t['relevant'] else ''}" for t in teachers]
    )
    axes.set_title("grey: not in the label list; ?: queried; *: knows a queried class", fontsize=9)
    figure.colorbar(image, label="score on probes")
    return figure


def draw_answers(summary: Summary) -> Figure:
    """How far each site's answer lies from the other sites', and how far it may."""
    rows = facts.answered(summary)
    figure = Figure(figsize=(WIDTH, 0.45 * len(rows) + 1.6), layout="constrained")
    axes = figure.subplots()
    for i, row in enumerate(rows):
        axes.barh(i, row["distance"], 0.6, color=QUERIED if row["far_off"] else AFTER)
        axes.plot([row["limit"]] * 2, [i - 0.4, i + 0.4], color="black", lw=2)
        note = f"  {row['distance']:.2f}, limit {row['limit']:.2f}{': far off' if row['far_off'] else ''}"
        axes.text(max(row["distance"], row["limit"]), i, note, va="center", fontsize=9)
    axes.set_yticks(range(len(rows)), [f"{_short(r['site'])}: {_short(r['class'])}" for r in rows])
    axes.invert_yaxis()
    axes.set(xlabel="distance from the other sites' answers, in spreads within a class (black line: limit)")
    axes.set_xlim(0, 1.45 * max(max(r["distance"], r["limit"]) for r in rows) or 1)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _short(name: str) -> str:
    cut = name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"
    return textwrap.fill(cut, 24).replace("$", r"\$")  # else matplotlib reads a formula


def _in_cell(axes: Any, i: int, j: int, text: str, share: float) -> None:
    colour = "white" if share > 0.55 else "black"
    axes.text(j, i, text, ha="center", va="center", fontsize=8, color=colour)
