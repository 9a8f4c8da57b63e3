"""The comparison as a picture: what was gained against what was lost, and each class."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from clinical_qkt.review.comparison.figures import classes
from clinical_qkt.review.comparison.reading import Compared, plain

# Okabe and Ito's palette: told apart by colour-blind readers. A grey stands in for its yellow, which is too
# pale for lines. The markers say the same without colours.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000", "#777777")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
GREY = "#555555"


def draw(runs: Sequence[Compared]) -> Figure:
    """Left query recall against forgetting, right the recall of each class after the transfer."""
    names = classes(runs)
    lines = sum(max(1.0, 0.3 + 0.17 * len(runs)) for _ in names)
    height = max(4.6, 0.42 * lines + 1.6)
    # A dollar sign in another site's class name is a dollar sign.
    with matplotlib.rc_context({"text.parse_math": False, "font.size": 9}):
        figure = Figure(figsize=(12.5, height), layout="constrained")
        FigureCanvasAgg(figure)
        left, right = figure.subplots(1, 2, width_ratios=(1, 1.05))
        _gained_and_lost(left, runs, height)
        _each_class(right, runs, names)
        marks = [
            Line2D([], [], color=_colour(i), marker=_marker(i), ls="", ms=7, label=_with_alarms(run))
            for i, run in enumerate(runs)
        ]
        figure.legend(handles=marks, loc="outside lower center", ncols=min(3, len(runs)), frameon=False)
    return figure


def _gained_and_lost(axes: Any, runs: Sequence[Compared], height: float) -> None:
    """Query recall with its interval against the worst forgetting; a small mark at the mean forgetting."""
    shown, missing = [], []
    for i, run in enumerate(runs):
        after, lost = run.summary.after, run.summary.forgetting
        if after.query_recall is None or lost.worst is None or lost.mean_loss is None:
            missing.append(run.label)
        else:
            low, high = after.query_recall_ci95 or (after.query_recall, after.query_recall)
            at = [100 * v for v in (lost.worst, lost.mean_loss, after.query_recall, low, high)]
            shown.append((i, run, at))
    budgets = sorted({run.summary.budget.forgetting for run in runs})
    worst = [at[0] for _, _, at in shown]
    left = min([0.0, *worst, *(at[1] for _, _, at in shown)])
    right = max([*budgets, *worst, 1.0])
    span = right - left
    beside = _beside([(at[0], at[3], at[4]) for _, _, at in shown], 0.022 * span)
    for (i, _, (x, mean, y, low, high)), aside in zip(shown, beside, strict=True):
        axes.plot([x + aside] * 2, [low, high], color=_colour(i), lw=1.4, zorder=2)
        axes.plot([mean, x + aside], [y, y], color=_colour(i), lw=0.7, ls=":", zorder=1)
        axes.plot(mean, y, marker="|", color=_colour(i), ms=7, zorder=2)
        axes.plot(x + aside, y, marker=_marker(i), color=_colour(i), ms=8, mec="white", mew=0.6, zorder=3)
    floor = max(0.0, min([at[3] for _, _, at in shown], default=0.0) - 8)
    axes.set(xlim=(left - 0.06 * span, right + 0.08 * span), ylim=(floor, 102))
    axes.set_yticks([y for y in axes.get_yticks() if floor <= y <= 100 and y == round(y)])
    _limits(axes, runs, budgets, right)
    _direct_labels(axes, shown, beside, height)
    if missing:
        told = textwrap.fill("not shown, since unknown: " + ", ".join(missing), 60)
        axes.text(0.02, 0.02, told, transform=axes.transAxes, fontsize=8, color=GREY, backgroundcolor="white")
    axes.set_xlabel(
        "points of recall lost by the retained class that lost most (stroke: mean loss)\n"
        "← better      worse →"
    )
    axes.set_ylabel("query recall, of 100 test images (line: 95 % interval)")
    axes.spines[["top", "right"]].set_visible(False)


def _limits(axes: Any, runs: Sequence[Compared], budgets: Sequence[float], right: float) -> None:
    """The budgets, which are of the mean; and what a single class may lose, where that is in sight."""
    rules = {run.summary.rule.limits.get("worst_forgetting") for run in runs}
    single = sorted(r for r in rules if r is not None and r <= right)
    for values, what, style in ((budgets, "budget (of the mean)", "--"), (single, "limit of a class", ":")):
        for k, x in enumerate(values):
            told = f"{what}: {', '.join(f'{v:g}' for v in values)}"
            axes.axvline(x, color=GREY, lw=1, ls=style, zorder=0, label=told if k == 0 else None)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False, fontsize=8)


def _direct_labels(axes: Any, shown: Sequence[Any], beside: Sequence[float], height: float) -> None:
    """Each marker's name right of the picture, one below the other, with a thin line to the marker."""
    floor, ceiling = axes.get_ylim()
    step = 0.3 / height * (ceiling - floor)
    order = sorted(range(len(shown)), key=lambda k: (-shown[k][2][2], -shown[k][2][0] - beside[k]))
    # As near to the markers' heights as can be without one covering another, and within the picture.
    tops: list[float] = []
    for k in order:
        wanted = min(shown[k][2][2], ceiling - step / 2)
        tops.append(min(wanted, tops[-1] - step) if tops else wanted)
    lift = max(0.0, floor + step - tops[-1]) if tops else 0.0
    for k, y in zip(order, tops, strict=True):
        i, run, at = shown[k]
        axes.annotate(
            _shortened(run.label, 24),
            (at[0] + beside[k], at[2]),
            xytext=(1.02, y + lift),
            textcoords=axes.get_yaxis_transform(),
            va="center",
            color=_colour(i),
            fontweight="bold",
            arrowprops={"arrowstyle": "-", "color": _colour(i), "lw": 0.5, "alpha": 0.6, "shrinkB": 5},
            annotation_clip=False,
        )


def _each_class(axes: Any, runs: Sequence[Compared], names: dict[str, bool]) -> None:
    """Recall of each class, the runs one below the other."""
    gap = 0.8 / max(len(runs), 3)
    sideways = axes.get_yaxis_transform()
    rows = [row for run in runs for row in run.summary.after.per_class.values()]
    lowest = min([row.recall_ci95[0] for row in rows if row.recall_ci95], default=0.0)
    for row, name in enumerate(names):
        if row % 2:
            axes.axhspan(row - 0.5, row + 0.5, color="#F3F3F3", zorder=0)
        for i, run in enumerate(runs):
            y = row + (i - (len(runs) - 1) / 2) * gap
            found = run.summary.after.per_class.get(name)
            if found is None:
                continue
            if found.recall is None:
                told = f" {_shortened(run.label)}: unknown"
                axes.text(0, y, told, transform=sideways, va="center", fontsize=7, color=_colour(i))
                continue
            low, high = found.recall_ci95 or (found.recall, found.recall)
            axes.plot([100 * low, 100 * high], [y, y], color=_colour(i), lw=1.4, zorder=2)
            axes.plot(
                100 * found.recall,
                y,
                marker=_marker(i),
                color=_colour(i),
                ms=6,
                mec="white",
                mew=0.5,
                zorder=3,
            )
    shown = [
        "\n".join(textwrap.wrap(plain(n), 24)).replace("$", r"\$") + ("\n(queried)" if queried else "")
        for n, queried in names.items()
    ]
    axes.set_yticks(range(len(names)), shown)
    axes.set(ylim=(len(names) - 0.5, -0.5), xlim=(max(0, 10 * int(10 * lowest) - 2), 102), axisbelow=True)
    axes.grid(axis="x", alpha=0.3)
    axes.set_xlabel("recognised after the transfer, of 100 test images of the class\n(line: 95 % interval)")
    axes.spines[["top", "right"]].set_visible(False)


def _beside(intervals: Sequence[tuple[float, float, float]], step: float) -> list[float]:
    """How far each marker is moved to the right, so that no interval hides another."""
    at: list[float] = []
    for k, (x, low, high) in enumerate(intervals):
        others = [at[j] for j in range(k) if intervals[j][1] <= high and low <= intervals[j][2]]
        place = x
        while any(abs(place - other) < step for other in others):
            place += step
        at.append(place)
    return [place - x for place, (x, _, _) in zip(at, intervals, strict=True)]


def _shortened(label: str, most: int = 44) -> str:
    """A label that fits; a path keeps its end."""
    half = most // 2
    cut = label if len(label) <= most else f"{label[:half]}…{label[half + 1 - most :]}"
    return cut.replace("$", r"\$")  # else matplotlib reads a formula


def _with_alarms(run: Compared) -> str:
    """A run's name, and how many of 100 other images it calls a queried class: recall alone misleads."""
    share = run.summary.after.false_alarms.overall.share
    told = "unknown" if share is None else f"{100 * share:.1f} of 100"
    return f"{_shortened(run.label)} (false alarms: {told})"


def _colour(i: int) -> str:
    return COLOURS[i % len(COLOURS)]


def _marker(i: int) -> str:
    # With more runs than colours, marks and colours pair up anew.
    return MARKERS[(i + i // len(COLOURS)) % len(MARKERS)]
