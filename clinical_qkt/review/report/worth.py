"""Sentences on what an answer is worth: net benefit, and precision against recall."""

from __future__ import annotations

from clinical_qkt.evidence.parts import NetBenefit, NetBenefitPoint, PrecisionRecall
from clinical_qkt.review.report.spelled import between, percent, prevalence

ROWS = 7
"""Of a table that tells some of a curve's points."""


def benefit_sentences(part: NetBenefit) -> list[str]:
    """Between which thresholds the model is worth more than calling every image so, or none."""
    better = [p.threshold for p in part.points if p.ci95[0] > max(p.call_all, p.call_none)]
    whose = f"at a prevalence of {prevalence(part.prevalence)}"
    whose += " (the test images')" if part.prevalence_from == "test images" else " (the hospital's own)"
    if not better:
        return [
            f"{part.query}, {whose}: at no threshold is it shown that the model is worth more than calling "
            "every image so, or none."
        ]
    low, high = (f"{100 * t:.0f} %" for t in (min(better), max(better)))
    return [
        f"{part.query}, {whose}: with thresholds from {low} to {high} the model is worth more than calling "
        "every image so, or none, even at the bad end of its interval."
    ]


def curve_sentence(part: PrecisionRecall) -> str:
    """The area below a precision-recall curve."""
    whose = "the test images'" if part.prevalence_from == "test images" else "the hospital's own"
    return (
        f"{part.query}, at a prevalence of {prevalence(part.prevalence)} ({whose}): average precision "
        f"{percent(part.average_precision)} of 100, probably {between(part.ci95)}."
    )


def thinned(part: PrecisionRecall) -> list[tuple[float, float]]:
    """Some points of a precision-recall curve for a table, from the highest recall to the lowest."""
    pairs = list(zip(part.recall, part.precision, strict=True))
    return pairs[:: max(1, -(-len(pairs) // ROWS))]


def shown(part: NetBenefit) -> list[NetBenefitPoint]:
    """Some points of a decision curve for a table, the lowest and the highest threshold among them."""
    step = max(1, -(-len(part.points) // ROWS))
    return [p for i, p in enumerate(part.points) if i % step == 0 or p is part.points[-1]]
