"""The rule in words: each of its lines beside what was measured, whose it is, and what would decide it."""

from __future__ import annotations

from typing import NamedTuple

from clinical_qkt.evidence.criteria import AT_LEAST, FAILED, MET, OPEN
from clinical_qkt.review.report import facts
from clinical_qkt.review.report.facts import Summary
from clinical_qkt.review.report.others import whose_images
from clinical_qkt.review.report.reasons import needed
from clinical_qkt.review.report.spelled import beside, counted, day, digest, joined, lost
from clinical_qkt.review.summary_schema import Criterion

OUTCOMES = {MET: "met", FAILED: "not met", OPEN: "undecided"}
KINDS = {MET: "yes", FAILED: "no", OPEN: "open"}
"""How an outcome is marked where it is drawn."""
OWN, DEFAULT = "hospital", "default"
UNKNOWN = "unknown"
SHORT = {
    "query_recall": "Recognised",
    "false_alarms": "False alarms",
    "forgetting": "Lost on average",
    "worst_forgetting": "Lost by one class",
    "calibration_error": "Stated probabilities",
}


class Line(NamedTuple):
    """One line of the rule, in points or of 100 images.

    Attributes:
        what, short: is measured.
        measured, worst: and what it may be, at the bad end of the 95 % interval.
        bound: which it has to keep.
        outcome: ``met``, ``not met`` or ``undecided``; ``kind`` is its mark.
        whose: limit it is, ``hospital`` or ``default``.
        images: on how many it was measured.
    """

    what: str
    short: str
    measured: str
    worst: str
    bound: str
    outcome: str
    kind: str
    whose: str
    images: str


def lines(summary: Summary) -> list[Line]:
    """The whole rule; together they decide as the summary says, see ``evidence.criteria``."""
    return [_line(summary, criterion) for criterion in summary.criteria]


def _line(summary: Summary, c: Criterion) -> Line:
    bad = None if c.ci95 is None else c.ci95[0 if c.bound == AT_LEAST else 1]
    return Line(
        what=_what(summary, c),
        short=SHORT[c.name],
        measured=_figure(c, c.measured),
        worst=_figure(c, bad),
        bound=f"{c.bound} {c.limit:g}",
        outcome=OUTCOMES[c.outcome],
        kind=KINDS[c.outcome],
        whose=OWN if c.written_by == "hospital" else DEFAULT,
        images=whose_images(summary, c),
    )


def _what(summary: Summary, c: Criterion) -> str:
    query = summary.student.query
    return {
        "query_recall": f"Recognised: of 100 images of {joined(query)}",
        "false_alarms": f"False alarms: of 100 images of other classes, called {joined(query, 'or')}",
        "forgetting": "Lost on average: of 100 images of the classes known before",
        "worst_forgetting": f"Lost by the class that lost most{_who(summary)}",
        "calibration_error": "Stated probabilities: off by, in points",
    }[c.name]


def _who(summary: Summary) -> str:
    names = facts.lost_most(summary)
    return f" ({joined(names)})" if names else ""


def _figure(c: Criterion, share: float | None) -> str:
    if share is None:
        return UNKNOWN
    if share < 0:
        return lost(share) if c.name == "worst_forgetting" else "0"
    return beside(share, c.limit, 0 if c.name == "query_recall" or share >= 0.0995 else 1)


def open_lines(summary: Summary) -> list[str]:
    """For each line that is undecided: how many images would decide it."""
    query = joined(summary.student.query)
    told = []
    for c in summary.criteria:
        if c.outcome == OPEN:
            sentence = needed(c).replace("the queried classes", query)
            told.append(f"{SHORT[c.name]}: {sentence}.")
    return told


def whose(summary: Summary) -> str:
    """Who wrote the rule, and which one it is."""
    own = [c for c in summary.criteria if c.written_by == "hospital"]
    named = f"digest {digest(summary.rule.sha256)}"
    if not own:
        return f"Judged by the software's default limits ({named}); nobody at the hospital wrote them."
    written = (
        f"the hospital's rule of {day(summary.rule.date)}" if summary.rule.date else "the hospital's rule"
    )
    if len(own) == len(summary.criteria):
        return f"Judged by {written} ({named}{'' if summary.rule.date else ', date not told'})."
    return (
        f"Judged by {written} ({named}{'' if summary.rule.date else ', date not told'}) in the lines marked "
        f"“{OWN}”; the others are the software's default limits, which nobody at the hospital wrote."
    )


def tries(summary: Summary) -> str:
    """What else was judged on the same test images: who tries often finds a model that passes by chance."""
    rule, since = summary.rule, summary.rule.used_since
    begun = f" This rule is in use on them since {day(since)}." if since else ""
    if not rule.judged_before and not rule.rules_before:
        return (
            f"On these test images no other model was judged before, as this hospital's ledger tells.{begun}"
        )
    models = counted(rule.judged_before, "other model") if rule.judged_before else "no other model"
    verb = "was" if rule.judged_before <= 1 else "were"
    by = f", and {counted(rule.rules_before, 'other rule')} used" if rule.rules_before else ""
    return (
        f"On these very test images {models} {verb} judged before{by}: who tries often finds one that passes "
        f"by chance.{begun}"
    )
