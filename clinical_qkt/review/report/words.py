"""Sentences of the report: plain text, which whoever shows it has to escape."""

from __future__ import annotations

from clinical_qkt.review.report import facts
from clinical_qkt.review.report.facts import Group, Mistake, Summary
from clinical_qkt.review.report.headline import few_sentences, verdict, verdict_sentence
from clinical_qkt.review.report.spelled import (
    between,
    counted,
    hundred,
    joined,
    percent,
    points,
    rate,
    short,
)

__all__ = [
    "alarm_sentence",
    "between",
    "calibration_sentences",
    "counted",
    "default_sentence",
    "few_sentences",
    "hundred",
    "joined",
    "mistake_sentence",
    "percent",
    "points",
    "short",
    "threshold_sentences",
    "verdict",
    "verdict_sentence",
]


def mistake_sentence(m: Mistake) -> str:
    """One mistake that became more or less common.

    >>> mistake_sentence(Mistake("a", "b", 0, 3, 64))
    'Of 100 images of a, 5 more are called b (before 0, now 3 of 64 images).'
    """
    change = "more" if m.after > m.before else "fewer"
    return (
        f"Of 100 images of {m.true}, {hundred(abs(m.after - m.before) / m.images)} {change} are called "
        f"{m.called} (before {m.before}, now {m.after} of {counted(m.images, 'image')})."
    )


def calibration_sentences(summary: Summary) -> list[str]:
    """How far the probabilities that the new model states can be believed."""
    sure, unsure = facts.sure_and_unsure(summary.after)
    error, over = summary.after.calibration.error, facts.overconfidence(summary.after)
    if error is None or over is None:
        return ["There are no test images, so nothing is known of the probabilities that the model states."]
    told = []
    if sure:
        told.append(f"Where the new model is {100 * facts.SURE:.0f} % sure or more, {_told(sure)}.")
    if unsure:
        told.append(f"Where it is less sure, {_told(unsure)}.")
    told.append(
        "On average the probability that it states and how often it is right differ by "
        f"{100 * error:.1f} points"
        + (
            f" (before: {100 * earlier:.1f})."
            if (earlier := summary.before.calibration.error) is not None
            else "."
        )
    )
    if abs(over) >= 0.01:
        kind = "surer than it should be" if over > 0 else "right more often than it says"
        told.append(f"On the whole it is {kind}, by {100 * abs(over):.1f} points.")
    return told


def _told(group: Group) -> str:
    share = hundred(group.right / group.images)
    return (
        f"it says {percent(group.stated)} % on average and is right in {share} of 100 cases "
        f"({group.right} of {counted(group.images, 'image')})"
    )


def alarm_sentence(summary: Summary, name: str) -> str:
    """How many of the site's images of other classes the new model wrongly calls a queried class."""
    d = facts.defaults(summary)[name]
    if not d.others:
        return f"There are no test images of other classes that could be wrongly called {name}."
    return (
        f"The new model wrongly calls {rate(d.false_alarms / d.others)} of 100 test images of other "
        f"classes {name} ({d.false_alarms} of {d.others})."
    )


def default_sentence(summary: Summary, name: str) -> str:
    """What the model does with a queried class when left to itself."""
    d = facts.defaults(summary)[name]
    found = (
        f"By default it recognises {hundred(d.recognised / d.images)} of 100 images of {name} "
        f"({d.recognised} of {d.images})."
        if d.images
        else f"How many images of {name} it recognises is unknown."
    )
    if not d.others:
        return f"{found} There are no images of other classes to be wrong on."
    return (
        f"{found} It calls {name} {rate(d.false_alarms / d.others)} of 100 images of other classes "
        f"({d.false_alarms} of {d.others})."
    )


def threshold_sentences(summary: Summary, name: str) -> list[str]:
    """What a lower and a higher threshold would do to a queried class."""
    rows = {round(r.threshold, 2): r for r in summary.after.thresholds[name]}
    told = []
    leads = {0.1: "A low threshold is reached more often, rightly and wrongly", 0.9: "A high one less often"}
    for at, lead in leads.items():
        row = rows.get(at)
        if row is None or row.false_alarms is None:
            continue
        found = "" if row.recognised is None else f"{hundred(row.recognised)} of 100 would be found and "
        told.append(
            f"{lead}: from {100 * at:.0f} % on, {found}{rate(row.false_alarms)} of "
            "100 images of other classes would be called so."
        )
    return told
