"""Figures of the probabilities that a model states: are they right, and what if they decided?"""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from clinical_qkt.evidence.evaluation import Bin, Threshold
from clinical_qkt.evidence.parts import AbstentionPoint
from clinical_qkt.review.report import facts
from clinical_qkt.review.report.figures import style
from clinical_qkt.review.summary_schema import TransferSummary

APART = 12
"""Points between two written thresholds, of 100 images, so that they can be read."""


def draw_calibration(summary: TransferSummary) -> Figure:
    """How often the model is right, against the probability that it states; below, on how many images."""
    rows = facts.bins(summary)
    begin = style.start([100 * rows[0].low])
    figure = style.sheet(4.7)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3.4, 1])
    upper.plot([0, 100], [0, 100], color=style.INK, lw=1, ls=":")
    for row in rows:
        if row.interval and row.after.stated is not None:
            upper.plot(
                [100 * row.after.stated] * 2, [100 * end for end in row.interval], "_-", color=style.AFTER
            )
    signs = (("before", style.HOLLOW, "--"), ("after", style.ROUND, "-"))
    for when, sign, line in signs:
        seen = [b for r in rows if (b := getattr(r, when)).images]
        points = [100 * (b.stated or 0) for b in seen], [100 * (b.right or 0) for b in seen]
        upper.plot(*points, ls=line, lw=1.2, clip_on=False, zorder=4, **sign)
    upper.set(ylim=(0, 100), ylabel="right, of 100 images")
    _columns(lower, [r.before for r in rows], 3, facecolor="white", edgecolor=style.BEFORE, hatch="////")
    _columns(lower, [r.after for r in rows], 7, color=style.AFTER)
    lower.set(ylabel="images")
    lower.set_xlabel(f"probability that the model states, in %{style.scale_note(begin)}")
    handles = [Line2D([], [], ls=line, label=when, **sign) for when, sign, line in signs]
    handles.append(Line2D([], [], ls=":", color=style.INK, label="as right as it says"))
    figure.legend(handles=handles, loc="outside upper center", ncols=3, frameon=False, columnspacing=1.0)
    for axes in (upper, lower):
        style.tidied(axes)
    style.span(lower, begin)
    return figure


def draw_thresholds(summary: TransferSummary) -> Figure:
    """What would be found, and falsely called so, if a queried class were named from a probability on."""
    figure, panels = style.stacked(len(summary.student.query), 3.7)
    for axes, name in zip(panels, summary.student.query, strict=True):
        rows = summary.after.thresholds[name]
        shown = style.flat(name)
        _curve(axes, rows, "recognised", "found, of 100 images that show it", style.DIAMOND, "-")
        _curve(axes, rows, "false_alarms", "falsely called so, of 100 others", style.HOLLOW, "--")
        axes.set(xlim=(0, 100), ylim=(0, 100), ylabel="of 100 images")
        axes.set_xlabel(f"{shown} is named\nfrom this probability on, in %")
        style.key(axes)
        axes.grid(axis="y", color="#dddddd", lw=0.7)
    return figure


def draw_abstention(summary: TransferSummary) -> Figure:
    """What is left to a person, against how often the model is wrong on the rest; by its own certainty."""
    assert summary.abstention is not None
    points = [p for p in summary.abstention.points if p.wrong_share is not None and p.ci95 is not None]
    figure = style.sheet(3.9)
    axes = style.tidied(figure.subplots())
    left = [100 * p.looked_at / summary.abstention.images for p in points]
    axes.plot(left, [100 * (p.wrong_share or 0) for p in points], color=style.AFTER, lw=1.2, zorder=3)
    for x, p in zip(left, points, strict=True):
        ends = [100 * end for end in p.ci95 or ()]
        marked = p.threshold == facts.SURE
        sign = style.DIAMOND if marked else style.ROUND
        style.whisker(axes, x, 100 * (p.wrong_share or 0), ends, upright=True, **sign)
    top = 1.12 * max((100 * p.ci95[1] for p in points if p.ci95), default=1)
    for x, p in _written(left, points):
        told = "all" if p.threshold == 0 else f"{100 * p.threshold:.0f} %"
        weight = "bold" if p.threshold == facts.SURE else "normal"
        axes.text(x, 100 * (p.ci95 or [0, 0])[1] + 0.015 * top, told, ha="center", va="bottom", weight=weight)
    axes.set(ylim=(0, 1.06 * top), ylabel="wrong, of 100 answers")
    axes.yaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.set_xlim(-3, max(10.0, 1.08 * max(left)))
    axes.set_xlabel("of 100 images, left to a person\n(the model answers where it is so sure)")
    axes.grid(axis="y", color="#dddddd", lw=0.7)
    return figure


def _written(left: list[float], points: list[AbstentionPoint]) -> list[tuple[float, AbstentionPoint]]:
    """The points whose threshold is written beside them: the one that is marked first, then what fits."""
    kept: list[tuple[float, AbstentionPoint]] = []
    room = APART * max(10.0, *left) / 100
    for x, p in sorted(zip(left, points, strict=True), key=lambda at: at[1].threshold != facts.SURE):
        if all(abs(x - other) > room for other, _ in kept):
            kept.append((x, p))
    return kept


def _columns(axes: Axes, bins: list[Bin], shift: float, **look: Any) -> None:
    axes.bar([100 * b.low + shift for b in bins], [b.images for b in bins], 3.6, **look)


def _curve(axes: Axes, rows: list[Threshold], key: str, label: str, sign: Any, line: str) -> None:
    shares = [100 * share for r in rows if (share := getattr(r, key)) is not None]
    if len(shares) == len(rows):
        at = [100 * r.threshold for r in rows]
        axes.plot(at, shares, ls=line, label=label, clip_on=False, zorder=3, **{**sign, "ms": 4.5})
