"""The report's figures, one function each. Drawn without pyplot, which keeps state and takes longer."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from clinical_qkt.review.report import facts
from clinical_qkt.review.report.figures.classes import draw_confusion, draw_false_alarms, draw_recall
from clinical_qkt.review.report.figures.looks import draw_looks
from clinical_qkt.review.report.figures.others import draw_others
from clinical_qkt.review.report.figures.probabilities import (
    draw_abstention,
    draw_calibration,
    draw_thresholds,
)
from clinical_qkt.review.report.figures.promise import draw_promise
from clinical_qkt.review.report.figures.sources import draw_masks, draw_responses
from clinical_qkt.review.report.figures.style import DPI, TYPE, WIDTH, finished
from clinical_qkt.review.report.figures.worth import (
    chosen,
    draw_base_rates,
    draw_decision,
    draw_precision_recall,
)
from clinical_qkt.review.summary_schema import TransferSummary

__all__ = ["ALL", "DPI", "WIDTH", "chosen", "drawn", "wanted"]

ALL: Mapping[str, Callable[[TransferSummary], Figure]] = {
    "recall": draw_recall,
    "promise": draw_promise,
    "base_rates": draw_base_rates,
    "confusion": draw_confusion,
    "false_alarms": draw_false_alarms,
    "precision_recall": draw_precision_recall,
    "decision": draw_decision,
    "calibration": draw_calibration,
    "abstention": draw_abstention,
    "thresholds": draw_thresholds,
    "looks": draw_looks,
    "others": draw_others,
    "masks": draw_masks,
    "responses": draw_responses,
}
"""In the order of the report. Draw them with ``drawn``, which sets type and takes names as they are."""


def drawn(summary: TransferSummary, names: Collection[str] = ALL) -> dict[str, Figure]:
    """Every figure that this summary has something for, by name.

    Args:
        names: no others than these.
    """
    return {name: _draw(name, summary) for name in wanted(summary) if name in names}


def wanted(summary: TransferSummary) -> list[str]:
    """The names of the figures that this summary has something for, in the order of the report."""
    after, query = summary.after, summary.student.query
    given: dict[str, Any] = {
        "promise": summary.method.fit.promise,
        "base_rates": any(after.base_rates.values()),
        "false_alarms": all(facts.called(summary, queried) for queried in query),
        "precision_recall": summary.precision_recall,
        "decision": chosen(summary),
        "calibration": after.calibration.images,
        "abstention": summary.abstention and any(p.answered for p in summary.abstention.points),
        "thresholds": after.calibration.images,
        "looks": summary.looks and any(one.distance is not None for one in summary.looks.sites),
        "others": summary.others and any(row.sites for row in summary.others.classes.values()),
        "masks": summary.teachers,
        "responses": any(g.told.distance is not None for g in facts.answered(summary)),
    }
    return [name for name in ALL if given.get(name, True)]


# a dollar sign in another site's class name is one
@matplotlib.rc_context({"font.size": TYPE, "axes.labelsize": TYPE, "text.parse_math": False})
def _draw(name: str, summary: TransferSummary) -> Figure:
    return finished(ALL[name](summary))
