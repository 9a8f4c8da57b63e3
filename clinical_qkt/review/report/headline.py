"""The verdict, and the result in a few sentences: what was gained, what it costs, how sure that is."""

from __future__ import annotations

from clinical_qkt.core.terms import ACCEPTED, REFUSED, UNDECIDED
from clinical_qkt.evidence.evaluation import Alarms
from clinical_qkt.review.report import facts
from clinical_qkt.review.report.facts import Summary
from clinical_qkt.review.report.spelled import between, counted, ends, hundred, images_of, joined, lost, rate

VERDICTS = {ACCEPTED: "Accepted", REFUSED: "Not accepted", UNDECIDED: "Cannot be decided"}
KINDS = {ACCEPTED: "yes", REFUSED: "no", UNDECIDED: "open"}
"""How a verdict is marked where it is drawn."""


def verdict(summary: Summary) -> str:
    """The decision in a few words."""
    return VERDICTS[summary.verdict]


def question(summary: Summary) -> str:
    """What the report is asked."""
    return f"May the model with {joined(summary.student.query)} be used?"


def verdict_sentence(summary: Summary) -> str:
    """The result in plain words: what was gained, how many false alarms, what was lost, how sure."""
    return " ".join([*_gained(summary), alarms_sentence(summary), lost_sentence(summary)])


def _gained(summary: Summary) -> list[str]:
    query, unknown = summary.student.query, facts.untested(summary)
    each = [_one(summary, name) for name in query if name not in unknown]
    if not unknown and len(query) == 1:
        return [f"The model now recognises {each[0]}."]
    if unknown:
        told = (
            f"The model was taught {joined(query)}. How well it recognises {joined(unknown)} "
            f"{'cannot be said here' if summary.others else 'is unknown'}: "
            f"there are no test images of {'it' if len(unknown) == 1 else 'them'}."
        )
    else:
        found, within = summary.after.query_recall, summary.after.query_recall_ci95
        assert found is not None and within is not None
        told = (
            f"The model now recognises {joined(query)} in {hundred(found)} of 100 cases on average "
            f"(before: {_before(summary.before.query_recall)}), probably {between(within)}."
        )
    return [told, *([f"By class: {'; '.join(each)}."] if each else [])]


def _one(summary: Summary, name: str) -> str:
    row, c = summary.after.per_class[name], summary.names.index(name)
    assert row.recall is not None and row.recall_ci95 is not None
    return (
        f"{name} in {hundred(row.recall)} of 100 cases ({summary.after.confusion[c][c]:,} of "
        f"{images_of(row.support, row.patients)}; before: {_before(summary.before.per_class[name].recall)}), "
        f"probably {between(row.recall_ci95)}"
    )


def _before(share: float | None) -> str:
    return "unknown" if share is None else hundred(share)


def alarms_sentence(summary: Summary) -> str:
    """Of 100 images of the classes known before, how many are called a queried class."""
    query, alarms = joined(summary.student.query, "or"), summary.after.false_alarms.overall
    if alarms.share is None or alarms.ci95 is None:
        return (
            f"How many images of other classes it calls {query} is unknown: there are no test images of them."
        )
    return f"Of 100 images of other classes, {alarms_told(alarms, query)}."


def alarms_told(alarms: Alarms, query: str) -> str:
    """How many, of how many images, and how many it may be."""
    assert alarms.share is not None and alarms.ci95 is not None
    verb = "is" if rate(alarms.share) == "1.0" else "are"
    return (
        f"{rate(alarms.share)} {verb} called {query} ({alarms.count:,} of "
        f"{images_of(alarms.images, alarms.patients)}), it may be as many as {rate(alarms.ci95[1])}"
    )


def lost_sentence(summary: Summary) -> str:
    """What the classes known before lost; gains do not make up for losses."""
    loss = summary.forgetting
    if loss.mean_loss is None or loss.mean_loss_ci95 is None or loss.worst is None:
        return "What it forgot is unknown: there are no test images of the classes that it knew before."
    most = rate(loss.mean_loss_ci95[1])
    known = [n for n, v in loss.per_class.items() if v is not None]
    images = images_of(facts.images_of(summary, known), summary.after.tested.retained.patients)
    if loss.mean_loss <= facts.TIED:
        return (
            f"Of the classes that it knew before none lost anything on {images}; it may be as many as {most} "
            "of 100 on average."
        )
    said = (
        f"Of 100 images of the classes that it knew before, {rate(loss.mean_loss)} fewer are recognised on "
        f"average, gains not counted ({images}), it may be as many as {most}"
    )
    names = facts.lost_most(summary)
    each = " each" if len(names) > 1 else ""
    return f"{said}; {joined(names)} lost most: {lost(loss.worst).removeprefix('lost ')}{each}."


def few_sentences(summary: Summary) -> list[str]:
    """For each queried class with a handful of test images: how few, and what that means."""
    told = []
    for name, n in facts.few(summary).items():
        within = ends(summary.after.per_class[name].recall_ci95)
        told.append(
            f"Only {counted(n, 'image')} of {name} could be tested, so the interval is wide: {within} of 100."
        )
    return told
