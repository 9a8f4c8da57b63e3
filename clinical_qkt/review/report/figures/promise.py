"""The figure of the promise: what may be lost, what held-out images show, and what test images say."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from clinical_qkt.review.report import promise
from clinical_qkt.review.report.figures import style
from clinical_qkt.review.report.promise import Limit
from clinical_qkt.review.summary_schema import TransferSummary


def draw_promise(summary: TransferSummary) -> Figure:
    """Points lost on average and by a single class: bars are limits, dots with their reach what was lost."""
    limits = promise.both(summary)
    figure = style.sheet(2.9)
    axes = style.tidied(figure.subplots())
    for y, one in enumerate(limits):
        _row(axes, y, one)
    axes.axvline(0, color=style.INK, lw=0.8, ls=":")
    axes.set_yticks(range(len(limits)), [style.short(one.what, 12) for one in limits])
    axes.tick_params("y", length=0, pad=6)
    axes.set(ylim=(len(limits) - 0.4, -0.75), xlim=_reach(limits))
    axes.grid(axis="x", color="#dddddd", lw=0.7)
    axes.set_xlabel("points of recall lost (below 0: gained)")
    _legend(axes)
    return figure


def _row(axes: Axes, y: int, one: Limit) -> None:
    limit, held_out = 100 * one.limit, 100 * one.held_out
    axes.plot([limit] * 2, [y - 0.36, y + 0.36], color=style.QUERIED, lw=3, solid_capstyle="butt")
    axes.text(limit, y - 0.4, f"{limit:g}", ha="center", va="bottom", fontsize=style.SMALL)
    bound = held_out if one.bound is None else 100 * one.bound
    style.whisker(axes, held_out, y - 0.14, [held_out, bound], upright=False, **style.HOLLOW)
    if one.tested is not None and one.ends is not None:
        ends = [100 * end for end in one.ends]
        style.whisker(axes, 100 * one.tested, y + 0.16, ends, upright=False, **style.ROUND)


def _reach(limits: list[Limit]) -> tuple[float, float]:
    """From the smallest to the largest figure, in points, with some room; 0 is always shown."""
    each = [[one.limit, one.held_out, one.bound, one.tested, *(one.ends or ())] for one in limits]
    told = [0.0, *(100 * share for shares in each for share in shares if share is not None)]
    room = 0.06 * (max(told) - min(told)) or 1.0
    return min(told) - room, max(told) + room


def _legend(axes: Axes) -> None:
    handles = [
        Line2D([], [], color=style.QUERIED, lw=3, label="limit"),
        Line2D([], [], lw=1.6, label="on held-out images, up to the bound", **style.HOLLOW),
        Line2D([], [], lw=1.6, label="on test images, 95 % interval", **style.ROUND),
    ]
    axes.legend(handles=handles, frameon=False, loc="lower left", bbox_to_anchor=(-0.05, 1), borderpad=0)
