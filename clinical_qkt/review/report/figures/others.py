"""The figure of what other hospitals measured: recall by hospital, and of all together."""

from __future__ import annotations

from matplotlib.figure import Figure

from clinical_qkt.review.report import others
from clinical_qkt.review.report.figures import style
from clinical_qkt.review.report.spelled import short as of_hundred
from clinical_qkt.review.summary_schema import TransferSummary


def draw_others(summary: TransferSummary) -> Figure:
    """A panel for each queried class that somebody measured: a dot with its interval for each hospital."""
    shown = {name: rows for name in summary.student.query if (rows := others.by_site(summary, name))}
    begin = style.start(100 * row.ends[0] for rows in shown.values() for row in rows)
    most = max(len(rows) for rows in shown.values())
    figure, panels = style.stacked(len(shown), 0.42 * most + 1.2)
    for axes, (name, rows) in zip(panels, shown.items(), strict=True):
        for i, row in enumerate(rows):
            sign = style.ROUND if row.name == others.TOGETHER else style.DIAMOND
            ends = [100 * end for end in row.ends]
            style.whisker(axes, 100 * row.recall, i, ends, upright=False, **sign)
            axes.text(1.05, i, of_hundred(row.recall), va="center", transform=axes.get_yaxis_transform())
        axes.set_yticks(range(len(rows)), [style.short(row.name) for row in rows])
        axes.tick_params("y", length=0, pad=6)
        axes.set(ylim=(len(rows) - 0.45, -0.6))
        style.span(axes, begin)
        axes.grid(axis="x", color="#dddddd", lw=0.7)
        axes.set_xlabel(f"recognised, of 100 images of\n{style.flat(name)}{style.scale_note(begin)}")
    return figure
