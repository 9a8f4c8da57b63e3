"""Why a model is not accepted: a sentence for each criterion that failed or is open, and one for looks."""

from __future__ import annotations

from collections.abc import Sequence

from clinical_qkt.core.terms import EvidenceFrom
from clinical_qkt.evidence.criteria import FAILED, MET, OPEN
from clinical_qkt.review.report import looks
from clinical_qkt.review.report.facts import lost_most
from clinical_qkt.review.report.spelled import beside, joined, lost, rounded
from clinical_qkt.review.summary_schema import Criterion, TransferSummary


def reasons(summary: TransferSummary) -> list[str]:
    """One sentence each, without a full stop; the failed ones first. Empty if the model is accepted."""
    most, different = lost_most(summary), looks.reason(summary)
    failed, undecided = (
        [reason(c, most, summary.rule.evidence) for c in against(summary) if (c.outcome == FAILED) == f]
        for f in (True, False)
    )
    return [*failed, *([different] if different else []), *undecided]


def against(summary: TransferSummary) -> list[Criterion]:
    """The criteria that are not met, the failed ones first."""
    return sorted((c for c in summary.criteria if c.outcome != MET), key=lambda c: c.outcome != FAILED)


def reason(criterion: Criterion, most: Sequence[str] = (), evidence: EvidenceFrom = "own") -> str:
    """What speaks against the model by this criterion, or is undecided.

    Args:
        most: the classes that lost most, where there are more than the one that the criterion names.
        evidence: whose images the rule goes by.

    >>> reason(Criterion(name="calibration_error", bound="at most", limit=15, measured=0.3, ci95=[0.25, 0.36],
    ...                  outcome="failed", images=320, written_by="software"))
    'stated probabilities: off by 30.0 points on average (25.0 to 36.0), 15 are allowed'
    """
    if criterion.measured is None:
        unknown = _UNTOLD if evidence == "others" and criterion.name in _UNTOLD else _UNKNOWN
        return f"{unknown[criterion.name]}; {needed(criterion)}"
    told = _measured(criterion, most)
    return told if criterion.outcome != OPEN else f"{told}, which cannot be decided yet; {needed(criterion)}"


def _measured(c: Criterion, most: Sequence[str]) -> str:
    assert c.measured is not None and c.ci95 is not None
    low, high = (beside(end, c.limit) for end in c.ci95)
    figure, limit = beside(c.measured, c.limit), f"{c.limit:g}"
    names = joined(most) if most else c.about
    each = " each" if len(most) > 1 else ""
    return {
        "query_recall": f"recognised: {figure} of 100 images of the queried classes ({low} to {high}), "
        f"at least {limit} are asked for",
        "false_alarms": f"false alarms: {figure} of 100 images of other classes are called a queried class "
        f"({low} to {high}), {limit} are allowed",
        "forgetting": f"lost: {figure} points of recall on average ({low} to {high}), {limit} are allowed",
        "worst_forgetting": f"{names} {lost(c.measured)} points of recall{each} (a class may have "
        f"{lost(c.ci95[1])}), {limit} are allowed for a single one",
        "calibration_error": f"stated probabilities: off by {figure} points on average ({low} to {high}), "
        f"{limit} are allowed",
    }[c.name]


def needed(c: Criterion) -> str:
    """How many images would decide an open criterion; a part of a sentence.

    >>> needed(Criterion(name="forgetting", bound="at most", limit=2, measured=0.01, ci95=[0, 0.03],
    ...                  outcome="undecided", images=320, images_needed=1480, written_by="software"))
    'with about 1,500 images of the classes known before (now 320), if they lost as much, it would be decided'
    """
    if c.images_needed is None:
        return "no reasonable number of images would decide it: what was measured lies too near the limit"
    n = rounded(c.images_needed)
    whose = "the class that lost most" if c.name == "worst_forgetting" else _IMAGES[c.name]
    if c.measured is None:
        return f"at least {n} images of {whose} are needed, if all goes well on them"
    return f"with about {n} images of {whose} (now {c.images:,}), if {_SAME[c.name]}, it would be decided"


_IMAGES = {
    "query_recall": "the queried classes",
    "false_alarms": "the classes known before",
    "forgetting": "the classes known before",
    "calibration_error": "all classes",
}
_SAME = {
    "query_recall": "as many are recognised",
    "false_alarms": "as many are false alarms",
    "forgetting": "they lost as much",
    "worst_forgetting": "it lost as much",
    "calibration_error": "the probabilities are off by as much",
}
_UNTOLD = {
    "query_recall": "no other hospital has told how much is recognised, and the rule goes by that",
    "false_alarms": "no other hospital has told false alarms, and the rule goes by these",
}
_UNKNOWN = {
    "query_recall": "there are no test images of a queried class, so what was gained is unknown",
    "false_alarms": "there are no test images of other classes, so false alarms are unknown",
    "forgetting": "there are no test images of the retained classes, so what was lost is unknown",
    "worst_forgetting": "there are no test images of the retained classes, so what each lost is unknown",
    "calibration_error": "there are no test images, so nothing is known of the stated probabilities",
}
