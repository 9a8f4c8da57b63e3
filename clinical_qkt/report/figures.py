"""The report's figures, one function each. Drawn without pyplot, which keeps state and takes longer."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from clinical_qkt.evidence.intervals import proportion
from clinical_qkt.summary_schema import Bin, TransferSummary

# Okabe and Ito's palette: told apart by colour-blind readers, and in grey.
BEFORE, AFTER, QUERIED = "#999999", "#0072B2", "#D55E00"
WIDTH = 7.4
"""Of a figure in inches; at ``DPI`` the page shows it nearly as large as it is."""
DPI = 130
LONGEST = 40
"""Characters of a name that a figure shows; the tables show all of it."""


@matplotlib.rc_context({"text.parse_math": False})  # a dollar sign in another site's class name is one
def drawn(summary: TransferSummary) -> dict[str, Figure]:
    """Every figure that this summary has something for, by name."""
    wanted: dict[str, tuple[Callable[[TransferSummary], Figure], Any]] = {
        "recall": (draw_recall, True),
        "confusion": (draw_confusion, True),
        "calibration": (draw_calibration, summary.after.calibration.images),
        "thresholds": (draw_thresholds, summary.after.calibration.images),
        "masks": (draw_masks, summary.teachers),
        "answers": (draw_answers, _answered(summary)),
    }
    return {name: draw(summary) for name, (draw, needed) in wanted.items() if needed}


def draw_recall(summary: TransferSummary) -> Figure:
    """Recall per class before and after, with 95 % intervals."""
    names, query = summary.names, summary.student.query
    figure = Figure(figsize=(WIDTH, 0.62 * len(names) + 1.5), layout="constrained")
    axes = figure.subplots()
    for offset, part, colour in ((-0.19, summary.before, BEFORE), (0.19, summary.after, AFTER)):
        for i, name in enumerate(names):
            row = part.per_class[name]
            if row.recall is None or row.recall_ci95 is None:
                axes.text(1, i + offset, "no test images", va="center", fontsize=8, color="#555555")
                continue
            low, high = row.recall_ci95
            shown = QUERIED if name in query and part is summary.after else colour
            axes.barh(i + offset, 100 * row.recall, 0.36, color=shown)
            axes.plot([100 * low, 100 * high], [i + offset] * 2, color="black", lw=1.4)
            axes.text(101.5, i + offset, f"{100 * row.recall:.0f}", va="center", fontsize=9)
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


def draw_confusion(summary: TransferSummary) -> Figure:
    """What images of each class were called, before and after, as shares of the class."""
    names = summary.names
    labels = [_short(n) for n in names]
    longest = max(len(line) for label in labels for line in label.splitlines())
    size = 0.42 * len(names) + max(1.6, 0.5 + 0.07 * longest)
    figure = Figure(figsize=(2 * size, size), layout="constrained")
    pair = figure.subplots(1, 2, sharey=True)
    for axes, when in zip(pair, ("before", "after"), strict=True):
        counts = np.array(getattr(summary, when).confusion)
        shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for i, j in zip(*np.nonzero(counts), strict=True):
            _in_cell(axes, i, j, str(counts[i, j]), shares[i, j])
        axes.set_xticks(range(len(names)), labels, rotation=45, ha="right", fontsize=9)
        axes.set_yticks(range(len(names)), labels, fontsize=9)
        axes.set(title=when, xlabel="called by the model")
    pair[0].set_ylabel("true class")
    return figure


def draw_calibration(summary: TransferSummary) -> Figure:
    """How often the model is right, against the probability that it states; below, on how many images."""
    figure = Figure(figsize=(0.75 * WIDTH, 4.9), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
    told = {"before": summary.before.calibration.bins, "after": summary.after.calibration.bins}
    upper.plot([0, 100], [0, 100], color="black", lw=1, ls=":", label="as often right as it says")

    for when, colour, mark in (("before", BEFORE, "s"), ("after", AFTER, "o")):
        seen = _seen(told[when])
        stated, right = [100 * s for _, s, _ in seen], [100 * r for _, _, r in seen]
        upper.plot(stated, right, mark, ls="-", lw=1.2, color=colour, label=when, clip_on=False, zorder=3)
    for images, says, true in _seen(told["after"]):
        low, high = proportion(round(true * images), images) or (0, 1)
        upper.plot([100 * says] * 2, [100 * low, 100 * high], color=AFTER, lw=1)
    upper.set(xlim=(0, 100), ylim=(0, 100), ylabel="right, of 100 images")
    figure.legend(loc="outside upper center", ncols=3, frameon=False)
    for shift, when, colour in ((3, "before", BEFORE), (7, "after", AFTER)):
        where = [100 * b.low + shift for b in told[when]]
        lower.bar(where, [b.images for b in told[when]], 3.6, color=colour)
    lower.set(xlabel="probability that the model states, in % (blue lines: 95 % interval)", ylabel="images")
    for axes in (upper, lower):
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def draw_thresholds(summary: TransferSummary) -> Figure:
    """What would be found, and falsely called so, if a queried class were named from a probability on."""
    query = summary.student.query
    figure = Figure(figsize=(WIDTH, 3.7 * len(query) + 0.3), layout="constrained")
    grid = figure.subplots(len(query), 1, squeeze=False)[:, 0]
    for axes, name in zip(grid, query, strict=True):
        rows = summary.after.thresholds[name]
        at = [100 * r.threshold for r in rows]
        drawn_as = (
            ("recognised", QUERIED, "o", "-", f"of 100 images of {_short(name)}, found"),
            ("false_alarms", AFTER, "s", "--", f"of 100 other images, falsely called {_short(name)}"),
        )
        for key, colour, mark, line, label in drawn_as:
            shares = [100 * share for r in rows if (share := getattr(r, key)) is not None]
            if len(shares) == len(at):
                axes.plot(at, shares, mark, ls=line, color=colour, ms=4, label=label, clip_on=False)
        axes.set(xlim=(0, 100), ylim=(0, 100), ylabel="of 100 images")
        axes.set_xlabel(f"{_short(name)} is named from this probability on, in %")
        axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1))
        axes.grid(axis="y", color="#dddddd", lw=0.7)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def draw_masks(summary: TransferSummary) -> Figure:
    """Which teacher knows which class, as the noise probes say."""
    teachers, query = summary.teachers, summary.student.query
    classes = list(dict.fromkeys(c for t in teachers for c in t.classes))
    scores = np.array([[t.mask.get(c, np.nan) for c in classes] for t in teachers])
    figure = Figure(figsize=(0.85 * len(classes) + 2.4, 0.5 * len(teachers) + 2.4), layout="constrained")
    axes = figure.subplots()
    colours = matplotlib.colormaps["Blues"].with_extremes(bad="#eeeeee")
    image = axes.imshow(scores, cmap=colours, vmin=0, vmax=1, aspect="auto")
    for i, t in enumerate(teachers):
        for j, c in enumerate(classes):
            if c in t.mask:
                mark = "knows" if c in t.known else "does not"
                _in_cell(axes, i, j, f"{mark}\n{scores[i, j]:.2f}", scores[i, j])
    shown = [f"{_short(c)} ?" if c in query else _short(c) for c in classes]
    axes.set_xticks(range(len(classes)), shown, rotation=30, ha="right")
    axes.set_yticks(range(len(teachers)), [f"{_short(t.site)}{' *' if t.relevant else ''}" for t in teachers])
    axes.set_title("grey: not in the label list; ?: queried; *: knows a queried class", fontsize=9)
    figure.colorbar(image, label="score on probes")
    return figure


def draw_answers(summary: TransferSummary) -> Figure:
    """How far each site's answer lies from the other sites', and how far it may."""
    rows = _answered(summary)
    figure = Figure(figsize=(WIDTH, 0.45 * len(rows) + 1.6), layout="constrained")
    axes = figure.subplots()
    for i, (_, _, distance, limit, far) in enumerate(rows):
        axes.barh(i, distance, 0.6, color=QUERIED if far else AFTER)
        axes.plot([limit] * 2, [i - 0.4, i + 0.4], color="black", lw=2)
        note = f"  {distance:.2f}, limit {limit:.2f}{': far off' if far else ''}"
        axes.text(max(distance, limit), i, note, va="center", fontsize=9)
    axes.set_yticks(range(len(rows)), [f"{_short(site)}: {_short(name)}" for site, name, *_ in rows])
    axes.invert_yaxis()
    axes.set(xlabel="distance from the other sites' answers, in spreads within a class (black line: limit)")
    axes.set_xlim(0, 1.45 * max(max(distance, limit) for _, _, distance, limit, _ in rows) or 1)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _seen(bins: list[Bin]) -> list[tuple[int, float, float]]:
    """Of the bins that hold images: how many, and the stated and the right share."""
    return [
        (b.images, b.stated, b.right)
        for b in bins
        if b.images and b.stated is not None and b.right is not None
    ]


def _answered(summary: TransferSummary) -> list[tuple[str, str, float, float, bool]]:
    """Site, class, distance from the other sites' answers, limit, whether that is too far."""
    return [
        (answer.site, row.name, row.distance, row.limit, row.far_off)
        for answer in summary.answers
        for row in answer.classes
        if row.kind is not None and row.distance is not None and row.limit is not None
    ]


def _short(name: str) -> str:
    cut = name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"
    return textwrap.fill(cut, 24).replace("$", r"\$")  # else matplotlib reads a formula


def _in_cell(axes: Any, i: int, j: int, text: str, share: float) -> None:
    colour = "white" if share > 0.55 else "black"
    axes.text(j, i, text, ha="center", va="center", fontsize=8, color=colour)
