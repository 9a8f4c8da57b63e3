"""What a figure shows, for readers who do not see it: its main content in a sentence or two."""

from __future__ import annotations

from collections.abc import Callable

from clinical_qkt.evidence.evaluation import Threshold
from clinical_qkt.review.report import facts, figures, further, looks, others, practice, promise, worth
from clinical_qkt.review.report.headline import alarms_sentence, verdict_sentence
from clinical_qkt.review.report.spelled import counted, joined, lost, lost_ends, percent
from clinical_qkt.review.report.words import calibration_sentences, mistake_sentence
from clinical_qkt.review.summary_schema import TransferSummary

TABLE = "The table below holds the same figures."


def recall(summary: TransferSummary) -> str:
    """Of the dots per class."""
    return (
        "Dots with 95 % intervals: of 100 test images of each class, how many are recognised before and "
        f"after. {verdict_sentence(summary)} {TABLE}"
    )


def promised(summary: TransferSummary) -> str:
    """Of what may be lost against what is."""
    told = " ".join(
        f"On test images, {one.what}: {lost(one.tested)} ({lost_ends(one.ends)})."
        for one in promise.both(summary)
    )
    shown = "Bars and dots: what may be lost, what held-out images show, what test images say."
    return f"{shown} {promise.told(summary)} {told} {TABLE}"


def base_rates(summary: TransferSummary) -> str:
    """Of the answers' worth by prevalence."""
    told = [_worth(summary, name) for name, rates in summary.after.base_rates.items() if rates]
    shown = (
        "Dots with 95 % intervals, by how common the class is: of 100 answers that name it, and of 100 that "
        "do not, how many are right."
    )
    return f"{shown} {' '.join(told)} {TABLE}"


def confusion(summary: TransferSummary) -> str:
    """Of the grid."""
    grown = [m for m in facts.mistakes(summary) if m.more > 0]
    most = f"The mistake that grew most: {mistake_sentence(grown[0])}" if grown else "No mistake grew."
    shown = "Grid of counts: what test images of each true class are called now, and how that changed."
    return f"{shown} {most} {TABLE}"


def false_alarms(summary: TransferSummary) -> str:
    """Of the classes that are called a queried one."""
    told = []
    for name in summary.student.query:
        if first := next((row for row in facts.called(summary, name) if row.hits), None):
            images = counted(first.images, "image")
            told.append(f"Most often called {name}: {first.true}, {first.hits} of {images}.")
        else:
            told.append(f"No image of another class is called {name}.")
    shown = "Dots by class: of 100 images of other classes, how many are called a queried one."
    return f"{shown} {alarms_sentence(summary)} {' '.join(told)} {TABLE}"


def precision_recall(summary: TransferSummary) -> str:
    """Of the precision-recall curves."""
    told = " ".join(map(worth.curve_sentence, summary.precision_recall))
    shown = "Curves: the more images of a queried class are found, the fewer of those called so are right."
    return f"{shown} {told} {TABLE}"


def decision(summary: TransferSummary) -> str:
    """Of the decision curves."""
    told = " ".join(s for c in figures.chosen(summary) for s in worth.benefit_sentences(c))
    shown = "Curves by threshold: hits less weighed false alarms, against calling every image so, and none."
    return f"{shown} {told} {TABLE}"


def calibration(summary: TransferSummary) -> str:
    """Of the reliability figure."""
    told = " ".join(calibration_sentences(summary))
    shown = "Curves, before and after: how often the model is right, by the probability that it states."
    return f"{shown} {told} {TABLE}"


def abstention(summary: TransferSummary) -> str:
    """Of coverage against error."""
    assert summary.abstention is not None
    first = next(p for p in summary.abstention.points if p.answered)
    whole = f"If it answers for {counted(first.answered, 'image')}, {first.wrong} answers are wrong."
    told = " ".join(further.abstention_sentences(summary, summary.abstention))
    shown = "Dots with 95 % intervals: the more images are left to a person, the fewer answers are wrong."
    return f"{shown} {whole} {told} {TABLE}"


def thresholds(summary: TransferSummary) -> str:
    """Of the curves by threshold."""
    told = [f"{name}: {_by_threshold(summary.after.thresholds[name])}." for name in summary.student.query]
    return f"Curves by threshold. {' '.join(told)} {TABLE}"


def looked(summary: TransferSummary) -> str:
    """Of the difference in looks."""
    told = " ".join(looks.sentences(summary)) or "What was compared looks alike."
    shown = (
        "Bars: how different each hospital's images look, what is left once they are mapped, and the limit."
    )
    return f"{shown} {told} {TABLE}"


def by_others(summary: TransferSummary) -> str:
    """Of recall by hospital."""
    told = [
        f"{name}: " + "; ".join(f"{row.name} {percent(row.recall)}" for row in others.by_site(summary, name))
        for name in summary.student.query
    ]
    shown = "Dots with 95 % intervals: of 100 test images of other hospitals, how many are recognised there."
    return f"{shown} {' '.join(f'{line}.' for line in told)} {TABLE}"


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


def responses(summary: TransferSummary) -> str:
    """Of the distances between answers."""
    off = [f"{given.site} for {given.told.name}" for given in facts.answered(summary) if given.told.far_off]
    told = f"Far off: {joined(off)}." if off else "All lie within their limits."
    return f"Bars: how far each hospital's answer lies from the others', and the limit. {told} {TABLE}"


def _worth(summary: TransferSummary, name: str) -> str:
    """At the site's own prevalence, or at the highest and the lowest of the ladder."""
    rungs = practice.rungs(summary, name)
    return " ".join(
        f"Where {r.share} of the images show {name}: of 100 answers that name it, {r.right} are right "
        f"(probably {r.right_ends}), and of 100 others, {r.other} ({r.other_ends})."
        for r in [r for r in rungs if r.own] or [rungs[0], rungs[-1]]
    )


def _by_threshold(rows: list[Threshold]) -> str:
    """From the lowest threshold to the highest; another program's summary may hold a single one, or none."""
    if not rows:
        return "no threshold is told"
    low, high = rows[0], rows[-1]
    ends = f"from a threshold of {percent(low.threshold)} %"
    ends += f" to one of {percent(high.threshold)} %" if len(rows) > 1 else " on"
    found = _fall("images found", low.recognised, high.recognised, "100")
    alarms = _fall("false alarms", low.false_alarms, high.false_alarms, "100 other images")
    return f"{ends}, {found}, and {alarms}"


def _fall(what: str, low: float | None, high: float | None, of: str) -> str:
    """From a low threshold to a high one, if anything falls."""
    if low is None or high is None:
        return f"how many {what} there are is unknown"
    if low == high:
        return f"{what} are {percent(low)} of {of}"
    return f"{what} fall from {percent(low)} to {percent(high)} of {of}"


ALL: dict[str, Callable[[TransferSummary], str]] = {
    "recall": recall,
    "promise": promised,
    "base_rates": base_rates,
    "confusion": confusion,
    "false_alarms": false_alarms,
    "precision_recall": precision_recall,
    "decision": decision,
    "calibration": calibration,
    "abstention": abstention,
    "thresholds": thresholds,
    "looks": looked,
    "others": by_others,
    "masks": masks,
    "responses": responses,
}
