"""What an answer means in daily practice, where the class is rarer than among the test images."""

from __future__ import annotations

from typing import NamedTuple

from clinical_qkt.evidence.evaluation import BaseRate
from clinical_qkt.review.report.facts import Summary
from clinical_qkt.review.report.spelled import joined, prevalence, rate, short, signs

RUNGS = (0.1, 0.01, 0.001)
"""Of the ladder, on the first sheet, for whoever told no prevalence."""
ONE = (0.01,)
"""And where several classes are queried."""


class Rung(NamedTuple):
    """One queried class at one prevalence; figures of 100 answers, or of 1,000 images, as they are shown.

    Attributes:
        name: the class; ``share`` of the images shows it; ``own`` if the site says so.
        right, right_ends: of 100 answers that name the class.
        other, other_ends: of 100 answers that do not, how many are rightly so.
        alarms, alarms_ends: false alarms among 1,000 images.
        missed: images of the class among 1,000 that are called another.
    """

    name: str
    share: str
    own: bool
    right: str
    right_ends: str
    other: str
    other_ends: str
    alarms: str
    alarms_ends: str
    missed: str


def rungs(summary: Summary, name: str) -> list[Rung]:
    """All that is known of one queried class, the site's own prevalence first; empty without test images."""
    return [_rung(name, row) for row in summary.after.base_rates.get(name, ())]


def first(summary: Summary) -> list[Rung]:
    """What stands on the first sheet: of each class the site's own prevalence, else some of the ladder."""
    query = summary.student.query
    told = []
    for name in query:
        rows = summary.after.base_rates.get(name, [])
        own = [row for row in rows if row.own]
        wanted = RUNGS if len(query) == 1 else ONE
        told += [_rung(name, row) for row in own or [r for r in rows if r.prevalence in wanted]]
    return told


def told_by(summary: Summary) -> str:
    """Whose prevalence it is."""
    query = summary.student.query
    own = [n for n in query if n in summary.student.prevalence]
    if len(own) == len(query):
        return "The hospital told how common the class is there (prevalence in its settings)."
    which = f" of {joined([n for n in query if n not in own])}"
    return (
        f"How common images{which} are there was not told (prevalence in the hospital's settings): examples."
    )


def _rung(name: str, row: BaseRate) -> Rung:
    alarms, missed = (_of_thousand(v) for v in (row.false_alarms_per_1000, row.missed_per_1000))
    low, high = (_of_thousand(v) for v in row.false_alarms_per_1000_ci95)
    return Rung(
        name=name,
        share=prevalence(row.prevalence),
        own=row.own,
        right=short(row.ppv),
        right_ends=_ends(row.ppv_ci95),
        other=_nearly(row.npv),
        other_ends=f"{_nearly(row.npv_ci95[0])} to {_nearly(row.npv_ci95[1])}",
        alarms=alarms,
        alarms_ends=f"{low} to {high}",
        missed=missed,
    )


def _ends(interval: list[float]) -> str:
    return f"{short(interval[0])} to {short(interval[1])}"


def _nearly(share: float | None) -> str:
    """With as many digits as show that it is not all, two at most.

    >>> _nearly(0.9996), _nearly(1.0), _nearly(0.87), _nearly(None)
    ('99.96', '100', '87', '–')
    """
    if share is None:
        return "–"
    for digits in range(3):
        told = f"{100 * share:.{digits}f}"
        if share == 1 or float(told) < 100:
            return told
    return ">99.99"


def _of_thousand(value: float) -> str:
    """
    >>> _of_thousand(41.6), _of_thousand(1.25), _of_thousand(0.01)
    ('42', '1.2', '<0.1')
    """
    return f"{value:.0f}" if value >= 9.95 else signs(rate(value / 100))
