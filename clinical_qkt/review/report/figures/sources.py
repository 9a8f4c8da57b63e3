"""Figures of where the knowledge came from: whose model knows what, how far answers lie apart."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from clinical_qkt.review.report import facts
from clinical_qkt.review.report.figures import style
from clinical_qkt.review.summary_schema import TeacherFacts, TransferSummary


def draw_masks(summary: TransferSummary) -> Figure:
    """Which teacher knows which class, as the noise probes say: a row a class, a column a teacher."""
    teachers, query = summary.teachers, summary.student.query
    theirs = {c for t in teachers for c in t.classes}
    classes = [*(c for c in summary.names if c in theirs), *sorted(theirs - set(summary.names))]
    longest = max(len(style.flat(t.site)) for t in teachers)
    figure = style.sheet(0.42 * len(classes) + 1.2 + 0.055 * longest)
    axes = figure.subplots()
    for i, name in enumerate(classes):
        for j, teacher in enumerate(teachers):
            _square(axes, i, j, name, teacher, len(teachers))
    axes.set(xlim=(-0.5, len(teachers) - 0.5), ylim=(len(classes) - 0.5, -0.5))
    shown = [f"{style.short(c)}\n(queried)" if c in query else style.short(c) for c in classes]
    axes.set_yticks(range(len(classes)), shown)
    sites = [f"{style.flat(t.site)}{' *' if t.relevant else ''}" for t in teachers]
    axes.set_xticks(range(len(teachers)), sites, rotation=30, ha="left")
    axes.tick_params(labelsize=style.TYPE - 1, length=0, top=False, labeltop=True, labelbottom=False)
    handles = [
        Patch(facecolor="#b9d6ea", edgecolor=style.INK, label="✓ knows it"),
        Patch(facecolor="white", edgecolor=style.INK, label="does not"),
        Patch(facecolor="white", edgecolor="#999999", hatch="////", label="not in its list"),
    ]
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=3,
        frameon=False,
        columnspacing=1.0,
        handlelength=1.4,
    )
    return figure


def draw_responses(summary: TransferSummary) -> Figure:
    """How far each site's answer lies from the other sites', and how far it may."""
    rows = [g for g in facts.answered(summary) if g.told.distance is not None]
    figure = style.sheet(0.5 * len(rows) + 1.5)
    axes = style.tidied(figure.subplots())
    reach = [max(g.told.distance or 0, g.told.limit or 0) for g in rows]
    for i, (_, told) in enumerate(rows):
        far = told.far_off
        look: dict[str, Any] = (
            {"color": style.QUERIED, "hatch": "////", "edgecolor": "white"} if far else {"color": style.AFTER}
        )
        axes.barh(i, told.distance or 0, 0.5, **look)
        if told.limit is not None:
            axes.plot([told.limit] * 2, [i - 0.38, i + 0.38], color=style.INK, lw=2.4)
        note = f"{told.distance:.2f}{' far off' if far else ''}"
        axes.text(1.03, i, note, va="center", transform=axes.get_yaxis_transform())
    labels = [f"{style.flat(g.site)}:\n{style.flat(g.told.name)}" for g in rows]
    axes.set_yticks(range(len(rows)), labels)
    axes.set(ylim=(len(rows) - 0.5, -0.5), xlim=(0, 1.1 * max(reach) or 1))
    axes.set_xlabel("distance from the other answers,\nin spreads within a class (black line: limit)")
    return figure


def _square(axes: Axes, i: int, j: int, name: str, teacher: TeacherFacts, columns: int) -> None:
    listed, knows = name in teacher.mask, name in teacher.known
    look: dict[str, Any] = {
        "facecolor": "#b9d6ea" if knows else "white",
        "edgecolor": style.INK if listed else "#999999",
    }
    axes.add_patch(
        Rectangle((j - 0.46, i - 0.42), 0.92, 0.84, lw=0.8, hatch=None if listed else "////", **look)
    )
    if listed:
        told = f"{'✓ ' if knows else ''}{teacher.mask[name]:.2f}"
        axes.text(j, i, told, ha="center", va="center", fontsize=style.TYPE - 1 if columns <= 5 else 8)
