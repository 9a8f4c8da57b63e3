"""The figure of looks: how different other hospitals' images look, before and after they were mapped."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from clinical_qkt.evidence.looks import BEYOND
from clinical_qkt.evidence.parts import SiteLook
from clinical_qkt.review.report.figures import style
from clinical_qkt.review.report.looks import KINDS
from clinical_qkt.review.summary_schema import TransferSummary

MOST = 4.0
"""In units of the larger limit: what is longer ends there, with its figure beside it."""


def draw_looks(summary: TransferSummary) -> Figure:
    """A pair of bars for each model and answer: the difference in look, and what is left; and the limit."""
    assert summary.looks is not None
    rows = [one for one in summary.looks.sites if one.distance is not None]
    limits = summary.looks.limits
    most = MOST * max(limits["residual"], limits["distance_without_map"]) or 1.0
    figure = style.sheet(0.62 * len(rows) + 1.9)
    axes = style.tidied(figure.subplots())
    for i, one in enumerate(rows):
        measured = one.mapped and one.left is not None
        _bars(axes, i, one, limits["residual" if measured else "distance_without_map"], most)
    axes.set_yticks(range(len(rows)), [_name(one) for one in rows])
    axes.set(ylim=(len(rows) - 0.4, -0.6), xlim=(0, most))
    cut = any(max(one.distance or 0, one.left or 0) > most for one in rows)
    note = "\n(longer bars are cut; figures at the right)" if cut else ""
    axes.set_xlabel(f"difference in look, in spreads between images{note}")
    handles = [
        Patch(facecolor="white", edgecolor=style.BEFORE, label="as they look"),
        Patch(facecolor=style.AFTER, label="left after they were brought to one look"),
        Line2D([], [], color=style.INK, lw=2.4, label="limit"),
    ]
    axes.legend(handles=handles, frameon=False, loc="lower left", bbox_to_anchor=(-0.05, 1), borderpad=0)
    return figure


def _bars(axes: Axes, y: int, one: SiteLook, limit: float, most: float) -> None:
    """The decisive one of the two bears the limit."""
    _bar(axes, y - 0.2, one.distance or 0.0, most, facecolor="white", edgecolor=style.BEFORE, lw=1.2)
    if one.mapped and one.left is not None:
        far: dict[str, Any] = {"color": style.QUERIED, "hatch": "////", "edgecolor": "white"}
        _bar(axes, y + 0.2, one.left, most, **(far if one.outcome == BEYOND else {"color": style.AFTER}))
    elif one.mapped:
        axes.text(0, y + 0.2, " left: not known", va="center", fontsize=style.SMALL)
    at = y + (0.2 if one.mapped and one.left is not None else -0.2)
    axes.plot([limit] * 2, [at - 0.17, at + 0.17], color=style.INK, lw=2.4)
    if KINDS[one.outcome] == "no":
        axes.text(1.16, y, "beyond", va="center", transform=axes.get_yaxis_transform(), color=style.QUERIED)


def _bar(axes: Axes, y: float, value: float, most: float, **look: Any) -> None:
    axes.barh(y, min(value, most), 0.34, **look)
    told = f"{value:.2f}" if value < 9.95 else f"{value:,.0f}"
    axes.text(1.02, y, told, va="center", fontsize=style.SMALL, transform=axes.get_yaxis_transform())


def _name(one: SiteLook) -> str:
    return style.flat(one.site) if one.query is None else f"{style.flat(one.site)}:\n{style.flat(one.query)}"
