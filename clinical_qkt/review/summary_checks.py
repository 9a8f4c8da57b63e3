"""Whether the parts of a summary agree: a verdict that its own figures contradict is shown nowhere.

A summary may come from another hospital, or from an editor. Its verdict follows from its criteria, their
outcomes from limits and intervals, and these stand in other parts of it, too. Where one of them says
something else, nobody can tell which is right, and the summary is refused.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from clinical_qkt.evidence import criteria, looks
from clinical_qkt.evidence.acceptance import LookLimits
from clinical_qkt.evidence.intervals import Interval
from clinical_qkt.evidence.others import heard, measured_by_others

if TYPE_CHECKING:
    from clinical_qkt.evidence.evaluation import Evaluation
    from clinical_qkt.review.summary_schema import TransferSummary

_BOUNDS = {
    "query_recall": criteria.AT_LEAST,
    "false_alarms": criteria.AT_MOST,
    "forgetting": criteria.AT_MOST,
    "worst_forgetting": criteria.AT_MOST,
    "calibration_error": criteria.AT_MOST,
}
"""Every part of a rule; without one of them nothing was decided."""
_ROUNDED = 1e-6
"""A share may have been rounded by so much."""
_POINTS = 1e-3
"""And a loss in points, which may exceed its limit by as much as rounding hides."""


def contradictions(summary: TransferSummary) -> list[str]:
    """What in a summary says something else than another part of it, a sentence each; empty if nothing.

    What is accepted must be borne out by every figure, down to the images that were counted.
    """
    if shape := list(_shape(summary)):  # the rest looks classes up
        return shape
    if decision := [*_decision(summary), *_promise(summary), *_looks(summary)]:
        return decision
    return disagreements(summary) if summary.accepted else []


def disagreements(summary: TransferSummary) -> list[str]:
    """What in a summary's figures does not go with the images that were counted, a sentence each."""
    counted = [p for when in ("before", "after") for p in _counted(summary, when, getattr(summary, when))]
    return [*_measured(summary), *counted]


def _shape(summary: TransferSummary) -> Iterator[str]:
    """Whether every part is about the summary's classes."""
    queried = dict.fromkeys(summary.student.query, "queried class")
    known = dict.fromkeys(summary.student.classes, "class")
    if len(queried | known) < len(summary.names):
        yield "student: a class stands there twice"
    for when, part in (("before", summary.before), ("after", summary.after)):
        yield from _same(f"{when}.per_class", part.per_class, queried | known)
        yield from _same(f"{when}.false_alarms.per_class", part.false_alarms.per_class, queried)
        yield from _same(f"{when}.thresholds", part.thresholds, queried)
        yield from _same(f"{when}.base_rates", part.base_rates, queried)
        if part.confusion and {len(part.confusion), *map(len, part.confusion)} != {len(summary.names)}:
            yield f"{when}.confusion: has not a row and a column for each class"
    if len(summary.before.calibration.bins) != len(summary.after.calibration.bins):
        yield "after.calibration.bins: are others than before"
    yield from _same("forgetting.per_class", summary.forgetting.per_class, known)
    yield from _same("forgetting.per_class_ci95", summary.forgetting.per_class_ci95, known)
    yield from _others(summary, queried)
    sections = dict.fromkeys(("training", "validation", "test"), "section")
    yield from _same("student.images", summary.student.images, sections)
    for i, teacher in enumerate(summary.teachers):
        yield from _same(f"teachers.{i}.mask", teacher.mask, dict.fromkeys(teacher.classes, "class"))
    if any(len(curve.recall) != len(curve.precision) for curve in summary.precision_recall):
        yield "precision_recall: a curve has not as many precisions as recalls"


def _others(summary: TransferSummary, queried: Mapping[str, str]) -> Iterator[str]:
    """Whether what other hospitals measured goes with what each of them told, and none is heard twice."""
    told = summary.others
    if told is None:
        return
    if len({site.site for site in told.sites}) < len(told.sites):
        yield "others.sites: a hospital stands there twice"
    for i, site in enumerate(told.sites):
        yield from _same(f"others.sites.{i}.classes", site.classes, queried)
    if measured_by_others(told.sites, list(queried)) != told:
        yield "others: what is told of all hospitals together does not follow from what each of them told"


def _decision(summary: TransferSummary) -> Iterator[str]:
    """Whether the verdict follows from the criteria, and these from limits and intervals."""
    if sorted(c.name for c in summary.criteria) != sorted(_BOUNDS):
        yield f"criteria: each of {', '.join(_BOUNDS)} must stand there once"
        return
    for c in summary.criteria:
        if c.bound != _BOUNDS[c.name] or summary.rule.limits.get(c.name) != c.limit:
            yield f"criteria: the limit of '{c.name}' is not the one of 'rule.limits'"
        if (c.measured is None) != (c.ci95 is None):
            yield f"criteria: '{c.name}' has a figure without an interval, or the other way round"
        follows = criteria.outcome(c.bound, c.limit / 100, c.ci95)
        if c.outcome != follows:
            yield f"criteria: '{c.name}' says '{c.outcome}', limit and interval make it '{follows}'"
    verdict = looks.decided(summary.looks, summary.criteria, summary.rule.evidence)
    if summary.verdict != verdict:
        yield f"verdict: says '{summary.verdict}', the criteria make it '{verdict}'"


def _promise(summary: TransferSummary) -> Iterator[str]:
    """Whether what is said of the promise follows from its limits and from what was lost."""
    fit, promise = summary.method.fit, summary.method.fit.promise
    if promise is None:
        return
    if promise.mean != summary.budget.forgetting:
        yield "method.fit.promise.mean: is another one than the forgetting budget"
    mean, worst = fit.loss.mean, fit.loss.worst
    if fit.state == "shown":
        mean, worst = (math.inf if b is None else b for b in (fit.loss.mean_bound, fit.loss.worst_bound))
    if fit.state != "not kept" and (mean > promise.mean + _POINTS or worst > promise.worst + _POINTS):
        yield f"method.fit.state: says '{fit.state}', limits and losses make it another one"


def _looks(summary: TransferSummary) -> Iterator[str]:
    """Whether what is said of looks follows from its limits."""
    if summary.looks is None:
        return
    try:
        limits = LookLimits.model_validate(summary.looks.limits)
    except ValidationError:
        yield "looks.limits: are none of looks"
        return
    for i, one in enumerate(summary.looks.sites):
        if one.outcome != (follows := looks.outcome(limits, one)):
            yield f"looks.sites.{i}.outcome: says '{one.outcome}', the limits make it '{follows}'"


def _measured(summary: TransferSummary) -> Iterator[str]:
    """Whether the criteria are about the figures that are shown."""
    after, lost, doubt = summary.after, summary.forgetting, summary.after.calibration
    found = heard(summary.rule.evidence, after, summary.student.query, summary.others)
    recall, alarms = found.query_recall, found.false_alarms
    shown = {
        "query_recall": (recall.share, recall.ci95),
        "false_alarms": (alarms.share, alarms.ci95),
        "forgetting": (lost.mean_loss, lost.mean_loss_ci95),
        "worst_forgetting": (lost.worst, lost.worst_ci95),
        "calibration_error": (doubt.error, doubt.ci95),
    }
    for c in summary.criteria:
        if (c.measured, c.ci95) != shown[c.name]:
            yield f"criteria: what '{c.name}' measured stands otherwise in 'after', 'others' or 'forgetting'"
    if summary.budget.forgetting != summary.rule.limits["forgetting"]:
        yield "budget: is another one than the limit of 'forgetting'"


def _counted(summary: TransferSummary, when: str, part: Evaluation) -> Iterator[str]:
    """Whether recall and false alarms are those of the confusion; without images they are unknown."""
    known, n = len(summary.student.classes), len(summary.names)
    rows = part.confusion or [[0] * n] * n
    for c, (name, counts) in enumerate(zip(summary.names, rows, strict=True)):
        row, at = part.per_class[name], f"{when}.per_class.{name}"
        if row.support != sum(counts):
            yield f"{at}.support: the confusion counts {sum(counts)} images"
        elif not _is_share(row.recall, row.recall_ci95, counts[c], row.support):
            yield f"{at}.recall: is not the share of images that the confusion counts as right"
    alarms, named = part.false_alarms.overall, sum(sum(counts[known:]) for counts in rows[:known])
    if (alarms.count, alarms.images) != (named, sum(map(sum, rows[:known]))):
        yield f"{when}.false_alarms.overall: the confusion counts {named}"
    elif not _is_share(alarms.share, alarms.ci95, alarms.count, alarms.images):
        yield f"{when}.false_alarms.overall.share: is not 'count' of 'images'"


def _is_share(share: float | None, ends: Interval | None, count: int, images: int) -> bool:
    if not images:
        return share is None and ends is None
    return share is not None and ends is not None and math.isclose(share, count / images, abs_tol=_ROUNDED)


def _same(where: str, told: Mapping[str, Any], names: Mapping[str, str]) -> Iterator[str]:
    """Whether a part has these keys and no other.

    Args:
        names: the keys, and what each is.
    """
    missing, more = [n for n in names if n not in told], [n for n in told if n not in names]
    if missing:
        yield f"{where}: the {names[missing[0]]} '{missing[0]}' is missing"
    if more:
        yield f"{where}: '{more[0]}' does not belong there"
