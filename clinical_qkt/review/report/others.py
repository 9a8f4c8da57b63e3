"""What other hospitals measured of the new model, in sentences and rows; whose evidence it is, is said."""

from __future__ import annotations

from typing import NamedTuple

from clinical_qkt.core.terms import ACCEPTED, REFUSED, UNDECIDED
from clinical_qkt.evidence.evaluation import Criterion
from clinical_qkt.evidence.others import PooledClass, ToldBySite, alarms_of, pooled, recall_of
from clinical_qkt.review.report.facts import Summary
from clinical_qkt.review.report.spelled import between, counted, day, hundred, images_of, joined, rate, signs
from clinical_qkt.review.summary_schema import Judgement

TOGETHER = "all together"
NOTHING = "–"
HEARD = ("query_recall", "false_alarms")
"""The criteria that others' images can be the evidence of."""
_BY = {
    "own": "by this hospital's own test images",
    "others": "by what other hospitals measured",
    "both": "by this hospital's own test images and what other hospitals measured, together",
}
_VERDICTS = {ACCEPTED: "accepted", REFUSED: "not accepted", UNDECIDED: "could not be decided"}


class Line(NamedTuple):
    """One hospital's figures of one class, or those of all together; of 100 images.

    Attributes:
        tested: on how many images of the class.
        recognised, ends: of them, and the 95 % interval.
        alarms, alarms_worst: of its other images, called so, and how many it may be.
        others: how many other images.
        declined: why no recall is told; empty if it is.
    """

    site: str
    tested: str
    recognised: str
    ends: list[float] | None
    alarms: str
    alarms_worst: str
    others: str
    declined: str = ""


class Site(NamedTuple):
    """One hospital's recall of one class as a figure draws it."""

    name: str
    recall: float
    ends: list[float]


def sentences(summary: Summary) -> list[str]:
    """For the first page: who measured what, and whether it decides; empty where nobody has."""
    told = summary.others
    if told is None:
        return []
    who, whose = joined([site.site for site in told.sites]), "its" if len(told.sites) == 1 else "their"
    found = [*(_recall(name, row) for name, row in told.classes.items()), _alarms(summary)]
    measured = f"{who} measured the model on {whose} own test images and told rounded counts."
    return [" ".join([measured, *found]), _decides(summary)]


def _recall(name: str, row: PooledClass) -> str:
    if row.recall is None or row.ci95 is None or row.lowest is None or row.highest is None:
        return f"How well it recognises {name}, none of them tells."
    spread = "" if row.sites == 1 else f"; by hospital {hundred(row.lowest)} to {hundred(row.highest)}"
    return (
        f"There it recognises {name} in {hundred(row.recall)} of 100 cases "
        f"({_least(row.images, row.patients)} at {counted(row.sites, 'hospital')}{spread}), "
        f"probably {between(row.ci95)}."
    )


def _alarms(summary: Summary) -> str:
    assert summary.others is not None
    alarms, query = summary.others.false_alarms, joined(summary.student.query, "or")
    if alarms.share is None or alarms.ci95 is None:
        return "False alarms none of them tells."
    verb = "is" if rate(alarms.share) == "1.0" else "are"
    return (
        f"Of 100 of their images of other classes {rate(alarms.share)} {verb} called {query} "
        f"({_least(alarms.images, alarms.patients)}), it may be as many as {rate(alarms.ci95[1])}."
    )


def _decides(summary: Summary) -> str:
    how = {
        "own": "By the rule this decides nothing: the model is judged by own test images alone.",
        "others": "By the rule these images, not own ones, decide on recognition and false alarms.",
        "both": "By the rule these images and the own ones together decide on recognition and false alarms.",
    }
    return how[summary.rule.evidence]


def _least(images: int, patients: int | None) -> str:
    return f"at least {images_of(images, patients)}"


def whose_images(summary: Summary, c: Criterion) -> str:
    """On how many images a criterion was measured, and where these are, if not here alone."""
    told = images_of(c.images, c.patients)
    if c.name not in HEARD or summary.rule.evidence == "own":
        return told
    sites = _hospitals(summary, c.name)
    if not sites:
        return told if summary.rule.evidence == "both" else "no other hospital has measured it"
    here = "here and " if summary.rule.evidence == "both" else ""
    return f"at least {told}, {here}at {counted(sites, 'other hospital')}"


def _hospitals(summary: Summary, name: str) -> int:
    told = summary.others
    if told is None:
        return 0
    return told.false_alarms.sites if name == "false_alarms" else max(c.sites for c in told.classes.values())


def by_site(summary: Summary, query: str) -> list[Site]:
    """Each hospital that tells its recall of a class, and all together where there are several."""
    assert summary.others is not None
    found = []
    for site in summary.others.sites:
        counts = recall_of(site.classes[query], site.rounding)
        if counts and (ends := pooled([counts]).ci95):
            found.append(Site(site.site, counts.middle, ends))
    row = summary.others.classes[query]
    if row.recall is not None and row.ci95 and row.sites > 1:
        found.append(Site(TOGETHER, row.recall, row.ci95))
    return found


def lines(summary: Summary, query: str) -> list[Line]:
    """A row for each hospital, and one of all together where there are several."""
    assert summary.others is not None
    told = summary.others
    found = [_line(site, query) for site in told.sites]
    return found if len(found) == 1 else [*found, _together(summary, query)]


def _line(site: ToldBySite, query: str) -> Line:
    one = site.classes[query]
    counts, alarms = recall_of(one, site.rounding), alarms_of(site, [query])
    called = pooled([alarms]) if alarms else None
    return Line(
        site.site,
        NOTHING if one.images is None else images_of(one.images, one.patients),
        NOTHING if one.recall is None else str(one.recall),
        pooled([counts]).ci95 if counts else None,
        NOTHING if called is None or called.share is None else signs(rate(called.share)),
        NOTHING if called is None or called.ci95 is None else signs(rate(called.ci95[1])),
        NOTHING if site.others is None else images_of(site.others.images, site.others.patients),
        one.declined or "",
    )


def _together(summary: Summary, query: str) -> Line:
    assert summary.others is not None
    row = summary.others.classes[query]
    counted_ = [found for site in summary.others.sites if (found := alarms_of(site, [query]))]
    alarms = pooled(counted_)
    return Line(
        TOGETHER,
        images_of(row.images, row.patients),
        NOTHING if row.recall is None else hundred(row.recall),
        row.ci95,
        NOTHING if alarms.share is None else signs(rate(alarms.share)),
        NOTHING if alarms.ci95 is None else signs(rate(alarms.ci95[1])),
        images_of(alarms.tested.images, alarms.tested.patients),
    )


def earlier(summary: Summary) -> list[str]:
    """What was decided of the model before, a sentence each; the first one first."""
    return [_judged(one) for one in summary.judged_earlier]


def _judged(one: Judgement) -> str:
    who = f" ({joined(list(one.assessments))})" if one.assessments and one.evidence != "own" else ""
    return f"{day(one.created)}, report {one.report_id}, {_BY[one.evidence]}{who}: {_VERDICTS[one.verdict]}."
