"""What a figure shows, for readers who do not see it: its main content in a sentence or two."""

from __future__ import annotations

from collections.abc import Callable

from clinical_qkt.report import facts
from clinical_qkt.report.words import (
    answer_sentence,
    calibration_sentences,
    joined,
    mistake_sentence,
    percent,
)
from clinical_qkt.summary_schema import TransferSummary

TABLE = "The table below holds the same figures."


def recall(summary: TransferSummary) -> str:
    """Of the bars per class."""
    return (
        "Bars: of 100 test images of each class, how many are recognised before and after, with 95 % "
        f"intervals. {answer_sentence(summary)} {TABLE}"
    )


def confusion(summary: TransferSummary) -> str:
    """Of the two grids."""
    grown = [m for m in facts.mistakes(summary) if m.more > 0]
    most = f"The mistake that grew most: {mistake_sentence(grown[0])}" if grown else "No mistake grew."
    shown = "Two grids of counts, before and after: what test images of each true class were called."
    return f"{shown} {most} {TABLE}"


def calibration(summary: TransferSummary) -> str:
    """Of the reliability figure."""
    told = " ".join(calibration_sentences(summary))
    shown = "Curves, before and after: how often the model is right, by the probability that it states."
    return f"{shown} {told} {TABLE}"


def thresholds(summary: TransferSummary) -> str:
    """Of the curves by threshold."""
    told = []
    for name in summary.student.query:
        low, *_, high = summary.after.thresholds[name]
        found = (
            "how many are found is unknown"
            if low.recognised is None
            else f"found fall from {percent(low.recognised)} to {percent(high.recognised)} of 100"
        )
        told.append(
            f"{name}: from a threshold of {percent(low.threshold)} % to one of "
            f"{percent(high.threshold)} %, {found}, and false alarms fall from "
            f"{percent(low.false_alarms)} to {percent(high.false_alarms)} of 100 other images."
        )
    return f"Curves by threshold. {' '.join(told)} {TABLE}"


def masks(summary: TransferSummary) -> str:
    """Of the teachers' grid."""
    told = []
    for name in summary.student.query:
        knowing = [
            t.site
            for t in summary.teachers
            if any(row.as_ == name and row.name in t.known for row in t.alignment)
        ]
        told.append(f"{name} is known to {joined(knowing)}.")
    return f"Grid of teachers and classes: which model knows which class. {' '.join(told)} {TABLE}"


def answers(summary: TransferSummary) -> str:
    """Of the distances between answers."""
    off = [f"{a.site} for {r.name}" for a in summary.answers for r in a.classes if r.kind and r.far_off]
    told = f"Far off: {joined(off)}." if off else "All lie within their limits."
    return f"Bars: how far each hospital's answer lies from the others', and the limit. {told} {TABLE}"


ALL: dict[str, Callable[[TransferSummary], str]] = {
    "recall": recall,
    "confusion": confusion,
    "calibration": calibration,
    "thresholds": thresholds,
    "masks": masks,
    "answers": answers,
}
