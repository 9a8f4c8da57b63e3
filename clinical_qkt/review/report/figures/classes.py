"""Figures of the classes: what is recognised, what is called what, which images give false alarms."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from clinical_qkt.evidence.evaluation import Row
from clinical_qkt.review.report import facts
from clinical_qkt.review.report.figures import style
from clinical_qkt.review.report.spelled import short as of_hundred
from clinical_qkt.review.summary_schema import TransferSummary

NUMBERED = 12
"""With more classes there is less room for each: in the grid for counts alone, not for how they changed."""


def draw_recall(summary: TransferSummary) -> Figure:
    """Recall per class before and after: dots with 95 % intervals, on a scale that starts where they are."""
    names, query = summary.names, set(summary.student.query)
    begin = style.start(_lows(summary))
    figure = style.sheet((0.46 if len(names) <= NUMBERED else 0.36) * len(names) + 1.6)
    axes = style.tidied(figure.subplots())
    for i, name in enumerate(names):
        before, after = (part.per_class[name] for part in (summary.before, summary.after))
        _dot(axes, i - 0.18, before, begin, style.HOLLOW)
        _dot(axes, i + 0.18, after, begin, style.DIAMOND if name in query else style.ROUND)
        told = "not tested" if after.recall is None else f"{_of(before)} → {_of(after)}"
        axes.text(1.05, i, told, va="center", transform=axes.get_yaxis_transform())
    axes.set_yticks(range(len(names)), [_label(n, n in query) for n in names])
    axes.tick_params("y", length=0, pad=6)
    axes.set(ylim=(len(names) - 0.45, -0.6))
    style.span(axes, begin)
    axes.grid(axis="x", color="#dddddd", lw=0.7)
    axes.set_xlabel(f"recognised, of 100 images of the class{style.scale_note(begin)}")
    signs = [("before", style.HOLLOW), ("after", style.ROUND), ("after, queried", style.DIAMOND)]
    _legend(figure, signs)
    return figure


def draw_confusion(summary: TransferSummary) -> Figure:
    """What the test images of each class are called now, and below each count how it changed."""
    names = summary.names
    counts, earlier = (np.array(part.confusion) for part in (summary.after, summary.before))
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    labels = [f"{style.short(name)}  {i}" for i, name in enumerate(names, 1)]
    figure = style.sheet(_grid_height(labels, len(names)))
    axes = figure.subplots()
    axes.imshow(shares, cmap="Greys", vmin=0, vmax=1.25, aspect="auto")
    for i, j in zip(*np.nonzero((counts > 0) | (earlier > 0)), strict=True):
        _cell(axes, i, j, int(counts[i, j]), int(counts[i, j] - earlier[i, j]), shares[i, j], len(names))
    axes.set_yticks(range(len(names)), labels)
    axes.set_xticks(range(len(names)), [str(i) for i in range(1, len(names) + 1)])
    axes.tick_params(labelsize=style.TYPE - 1 if len(names) <= NUMBERED else 8, length=0)
    axes.tick_params("x", top=True, labeltop=True, bottom=False, labelbottom=False)
    axes.set_xticks(np.arange(len(names) + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(len(names) + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="#dddddd", lw=0.7)
    axes.tick_params(which="minor", length=0, top=False)
    axes.set_title("called by the new model", fontsize=style.TYPE)
    axes.set_ylabel("true class")
    return figure


def draw_false_alarms(summary: TransferSummary) -> Figure:
    """Of each other class, how many images are called a queried one; with intervals where these are known."""
    figure, panels = style.stacked(len(summary.student.query), 0.3 * len(summary.names) + 1.1)
    for axes, name in zip(panels, summary.student.query, strict=True):
        told = facts.called(summary, name)
        ends = [[100 * end for end in r.interval or [r.hits / r.images] * 2] for r in told]
        for i, (row, reach) in enumerate(zip(told, ends, strict=True)):
            style.whisker(axes, 100 * row.hits / row.images, i, reach, upright=False, **style.DIAMOND)
            count = f"{row.hits} of {row.images}"
            axes.text(1.03, i, count, va="center", transform=axes.get_yaxis_transform())
        axes.set_yticks(range(len(told)), [style.short(r.true) for r in told])
        axes.tick_params("y", length=0, pad=8)
        reached = 1.05 * max(high for _, high in ends)
        axes.set(ylim=(len(told) - 0.5, -0.5), xlim=(0, min(100, max(10, reached))))
        axes.grid(axis="x", color="#dddddd", lw=0.7)
        axes.set_xlabel(f"of 100 images of the class, called\n{style.flat(name)}")
    return figure


def _lows(summary: TransferSummary) -> list[float]:
    """The lower ends of all intervals but those of queried classes before, which the model could not name."""
    shown = [summary.after.per_class[n] for n in summary.names]
    shown += [summary.before.per_class[n] for n in summary.student.classes]
    return [100 * row.recall_ci95[0] for row in shown if row.recall_ci95 is not None]


def _dot(axes: Axes, y: float, row: Row, begin: int, sign: Any) -> None:
    if row.recall is None or row.recall_ci95 is None:
        return
    low, high = (100 * end for end in row.recall_ci95)
    if 100 * row.recall >= begin:
        style.whisker(axes, 100 * row.recall, y, [max(low, begin), high], upright=False, **sign)
    else:  # a queried class before: left of the scale
        at = begin + 0.018 * (100 - begin)
        axes.plot([at], [y], ls="none", clip_on=False, zorder=4, **{**sign, "marker": "<"})


def _of(row: Row) -> str:
    return of_hundred(row.recall)


def _label(name: str, queried: bool) -> str:
    return f"{style.short(name)}\n(queried)" if queried else style.short(name)


def _legend(figure: Figure, signs: list[tuple[str, Any]]) -> None:
    handles = [Line2D([], [], ls="-", lw=1.6, label=label, **sign) for label, sign in signs]
    figure.legend(
        handles=handles,
        loc="outside upper center",
        ncols=3,
        frameon=False,
        columnspacing=1.2,
        handlelength=1.6,
    )


def _grid_height(labels: list[str], classes: int) -> float:
    """Room for a count and its change in each row, and for names of several lines."""
    lines = sum(label.count("\n") + 1 for label in labels)
    return max(0.4 * classes if classes <= NUMBERED else 0.26 * classes, 0.19 * lines) + 0.9


def _cell(axes: Axes, i: int, j: int, count: int, change: int, share: float, classes: int) -> None:
    colour, roomy = "white" if share > 0.6 else "black", classes <= NUMBERED
    told: dict[str, Any] = {"ha": "center", "color": colour}
    if not roomy or not change:
        axes.text(j, i, str(count), va="center", fontsize=style.TYPE - 1 if roomy else 7, **told)
        return
    axes.text(j, i, str(count), va="bottom", fontsize=style.TYPE - 1, linespacing=0.9, **told)
    axes.text(j, i + 0.05, f"{change:+d}".replace("-", "−"), va="top", fontsize=8, **told)
