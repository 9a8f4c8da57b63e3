"""The report's figures, one function each. Drawn without pyplot, which keeps state and takes longer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from clinical_qkt.report import facts
from clinical_qkt.report.figures.classes import draw_confusion, draw_false_alarms, draw_recall
from clinical_qkt.report.figures.probabilities import draw_abstention, draw_calibration, draw_thresholds
from clinical_qkt.report.figures.sources import draw_answers, draw_masks
from clinical_qkt.report.figures.style import DPI, TYPE, WIDTH, finished
from clinical_qkt.report.figures.worth import chosen, draw_base_rates, draw_decision, draw_precision_recall
from clinical_qkt.summary_schema import TransferSummary

__all__ = [
    "DPI",
    "WIDTH",
    "draw_abstention",
    "draw_answers",
    "draw_base_rates",
    "draw_calibration",
    "draw_confusion",
    "draw_decision",
    "draw_false_alarms",
    "draw_masks",
    "draw_precision_recall",
    "draw_recall",
    "draw_thresholds",
    "drawn",
]


# a dollar sign in another site's class name is one
@matplotlib.rc_context({"font.size": TYPE, "axes.labelsize": TYPE, "text.parse_math": False})
def drawn(summary: TransferSummary) -> dict[str, Figure]:
    """Every figure that this summary has something for, by name."""
    after = summary.after
    wanted: dict[str, tuple[Callable[[TransferSummary], Figure], Any]] = {
        "recall": (draw_recall, True),
        "base_rates": (draw_base_rates, any(after.base_rates.values())),
        "confusion": (draw_confusion, True),
        "false_alarms": (draw_false_alarms, _others_tested(summary)),
        "precision_recall": (draw_precision_recall, summary.precision_recall),
        "decision": (draw_decision, chosen(summary)),
        "calibration": (draw_calibration, after.calibration.images),
        "abstention": (draw_abstention, _answered_at_all(summary)),
        "thresholds": (draw_thresholds, after.calibration.images),
        "masks": (draw_masks, summary.teachers),
        "answers": (draw_answers, any(g.told.distance is not None for g in facts.answered(summary))),
    }
    return {name: finished(draw(summary)) for name, (draw, needed) in wanted.items() if needed}


def _others_tested(summary: TransferSummary) -> bool:
    return bool(summary.after.false_alarms.overall.images)


def _answered_at_all(summary: TransferSummary) -> bool:
    told = summary.abstention
    return told is not None and any(p.answered for p in told.points)
