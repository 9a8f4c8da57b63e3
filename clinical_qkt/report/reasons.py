"""Why a model is not accepted: a sentence for each criterion that is failed, or that cannot be decided."""

from __future__ import annotations

from clinical_qkt.summary_schema import Criterion, TransferSummary


def reasons(summary: TransferSummary) -> list[str]:
    """One sentence each, without a full stop; the failed ones first. Empty if the model is accepted."""
    open_ones = [c for c in summary.criteria if c.outcome != "met"]
    return [reason(c) for c in sorted(open_ones, key=lambda c: c.outcome != "failed")]


def reason(criterion: Criterion) -> str:
    """What speaks against the model by this criterion, or is not known yet.

    >>> reason(Criterion(name="calibration_error", asked="at most", limit=15, measured=0.3, ci95=[0.25, 0.36],
    ...                  outcome="failed", images=320, written_by="software"))
    'stated probabilities: off by 30.0 points on average (25.0 to 36.0), 15 are allowed'
    """
    told = _measured(criterion)
    if criterion.outcome == "undecided" and criterion.measured is not None:
        return f"{told}, which cannot be decided yet{_needed(criterion)}"
    return told + (_needed(criterion) if criterion.measured is None else "")


def _measured(c: Criterion) -> str:
    if c.measured is None or c.ci95 is None:
        return _UNKNOWN[c.name]
    low, high = (f"{100 * end + 0.0:.1f}" for end in c.ci95)
    figure, limit = f"{100 * c.measured + 0.0:.1f}", f"{c.limit:g}"
    return {
        "query_recall": f"recognised: {figure} of 100 images of the queried classes ({low} to {high}), "
        f"at least {limit} are asked for",
        "false_alarms": f"false alarms: {figure} of 100 images of other classes are called a queried class "
        f"({low} to {high}), {limit} are allowed",
        "forgetting": f"lost: {figure} points of recall on average ({low} to {high}), {limit} are allowed",
        "worst_forgetting": f"lost by {c.about}: {figure} points of recall (it may be {high} for a class), "
        f"{limit} are allowed for a single one",
        "calibration_error": f"stated probabilities: off by {figure} points on average ({low} to {high}), "
        f"{limit} are allowed",
    }[c.name]


def _needed(c: Criterion) -> str:
    """How many images would tell."""
    if c.images_needed is None:
        return ""
    if c.measured is None:
        return f"; at least {rounded(c.images_needed)} images are needed, if all goes well on them"
    return f"; about {rounded(c.images_needed)} images instead of {c.images} would decide it"


def rounded(n: int) -> str:
    """A number of images as good as it is known: two digits, rounded up.

    >>> rounded(7), rounded(1549), rounded(123456)
    ('7', '1,600', '130,000')
    """
    step = 10 ** max(0, len(str(n)) - 2)
    return f"{-(-n // step) * step:,}"


_UNKNOWN = {
    "query_recall": "there are no test images of a queried class, so what was gained is unknown",
    "false_alarms": "there are no test images of other classes, so false alarms are unknown",
    "forgetting": "there are no test images of the retained classes, so what was lost is unknown",
    "worst_forgetting": "there are no test images of the retained classes, so what each lost is unknown",
    "calibration_error": "there are no test images, so nothing is known of the stated probabilities",
}
