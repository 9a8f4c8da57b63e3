"""Sentences of the report's further parts: the model in use, abstention, the gate, subgroups."""

from __future__ import annotations

from clinical_qkt.core.terms import guarantee
from clinical_qkt.evidence.parts import (
    Abstention,
    AbstentionPoint,
    Counted,
    Difference,
    Gate,
    GateSource,
    InUse,
    SmallestRecall,
    Subgroup,
    Subgroups,
)
from clinical_qkt.privacy.statement import FEWEST
from clinical_qkt.review.report.facts import SURE, TIED, Summary
from clinical_qkt.review.report.spelled import counted, ends, hundred, joined, percent, rate, rates, short
from clinical_qkt.review.summary_schema import RespondedClass, SwitchOff

SCORES = {
    "max_probability": "the highest probability that it states",
    "max_logit": "its highest score",
    "energy": "the sum of its scores (energy)",
    "margin": "by how much the class that it names leads",
}
SOURCES = {
    "hidden class": "images of a class that was hidden from it",
    "noise and shapes": "noise and drawn shapes",
    "another modality": "images of another kind altogether",
    "excluded class": "own images of a class that is on no list",
}


def at_ninety(part: Abstention) -> AbstentionPoint | None:
    """The point from which on the report calls the model sure of itself."""
    return next((p for p in part.points if abs(p.threshold - SURE) < 1e-9), None)


def abstention_sentences(summary: Summary, part: Abstention) -> list[str]:
    """What is left to a person if the model answers only where it is sure, and what still goes wrong."""
    point = at_ninety(part)
    if point is None or not part.images:
        return []
    query, level = joined(summary.student.query, "or"), f"{100 * SURE:.0f} %"
    if not point.answered:
        return [f"It is never {level} sure: a person would have to look at all {part.images:,} test images."]
    most = f", it may be as many as {rate(point.ci95[1])} of 100" if point.ci95 else ""
    wrong = f"{point.wrong or 'none'} {_is(point.wrong)} wrong (of {counted(point.answered, 'image')}{most})"
    told = [
        f"Where it is less than {level} sure, {point.looked_at:,} of {counted(part.images, 'image')}, let a "
        f"person look; of the rest {wrong}."
        if point.looked_at
        else f"It is at least {level} sure of all {counted(part.images, 'image')}: {wrong}."
    ]
    for value, whose, what in (
        (point.missed, query, "missed"),
        (point.false_alarms, "other classes", f"called {query}"),
    ):
        if value.images:
            of = f"{value.count} of {counted(value.images, 'image')} of {whose}"
            told.append(f"Of the rest, {of} {_is(value.count)} {what}.")
    return told


def gate_sentences(part: Gate) -> list[str]:
    """When the model says 'none of these', what that is worth, and what it costs."""
    right, query = part.cost.right, part.cost.queried
    unlike = ", or where a picture is unlike the hospital's own in brightness, contrast or sharpness"
    told = [
        f"The model says “none of these” where {SCORES.get(part.score, part.score)} is low: under a limit "
        f"that {percent(part.kept)} of 100 of {part.validation_images:,} own validation images pass"
        f"{unlike if part.unlike else ''}."
    ]
    if right.share is not None:
        told.append(
            f"The cost: of {counted(right.images, 'test image')} that it names rightly, {right.count} "
            f"{_is(right.count)} held back ({rate(right.share)} of 100, {_most(right)})."
        )
    if query.share is not None:
        told.append(
            f"Of {counted(query.images, 'image')} of a queried class, {query.count} {_is(query.count)} held "
            "back."
        )
    return told


def source_told(source: GateSource) -> str:
    """What kind of images these are."""
    kind = SOURCES[source.kind]
    return f"{kind}: {source.name}" if source.name else kind


def smallest_sentence(found: SmallestRecall, whose: str) -> str:
    """Where a recall is smallest.

    Args:
        whose: recall it is.
    """
    recall = found.recall
    share = "unknown" if recall.share is None else f"{hundred(recall.share)} of 100"
    low = f"; it may be as few as {percent(recall.ci95[0])}" if recall.ci95 else ""
    return (
        f"{whose} are recognised least where {found.column} is {found.value or 'not told'}: {recall.count} "
        f"of {counted(recall.images, 'image')} ({share}{low})."
    )


def group_sentences(summary: Summary, part: Subgroups) -> list[str]:
    """The smallest recalls, and how much is not shown."""
    told = []
    if part.smallest_query_recall:
        told.append(
            smallest_sentence(part.smallest_query_recall, f"Images of {joined(summary.student.query)}")
        )
    if part.smallest_retained_recall:
        told.append(smallest_sentence(part.smallest_retained_recall, "Images of the classes known before"))
    hidden = sum(column.suppressed for column in part.columns)
    if hidden:
        told.append(
            f"Figures of fewer than {part.minimum} {part.unit}, and such as would give them away, are not "
            f"shown: of {counted(hidden, 'group')} a figure is missing."
        )
    told.append("With several groups one of them is smallest by chance alone: look at the interval.")
    return told


def cell(value: Counted | None) -> str:
    """A share in the table of groups, with its count and its interval; what is suppressed is said to be.

    >>> cell(Counted(count=9, images=12, share=0.75, ci95=[0.43, 0.95])), cell(None)
    ('75 (9 of 12; 43 to 95)', 'not shown')
    """
    if value is None:
        return "not shown"
    if value.share is None:
        return "–"
    return f"{short(value.share)} ({value.count} of {value.images}; {ends(value.ci95)})"


def row_name(row: Subgroup) -> str:
    """A group's name."""
    return row.value or "not told"


def in_use_sentences(summary: Summary, part: InUse) -> list[str]:
    """How the new model differs from the one that is in use now."""
    query = summary.student.query
    told = [f"In use now is version {part.version}, tested on the same {counted(part.images, 'image')}."]
    if part.lacks:
        told.append(f"It does not have {joined(part.lacks)}: such images count as not recognised.")
    if part.beyond:
        told.append(f"It has {joined(part.beyond)}, which the new one does not: such answers count as wrong.")
    for key, what in (
        ("query_recall", f"images of {joined(query)} the new one recognises {{}}"),
        ("retained_recall", "images of the classes known before the new one recognises {}"),
        ("false_alarms", f"images of other classes the new one calls {{}} {joined(query, 'or')}"),
    ):
        found = part.difference.get(key)
        if found is not None and found.share is not None:
            within = f" (probably {change_ends(found)})" if found.ci95 else ""
            told.append(f"Of 100 {what.format(change(found))}{within}.")
    return told


def change(found: Difference | None) -> str:
    """From the model in use to the new one, of 100.

    >>> change(Difference(share=0.047, ci95=[-0.01, 0.1], images=64)), change(None)
    ('4.7 more', '–')
    """
    return "–" if found is None or found.share is None else _more(found.share)


def change_ends(found: Difference | None) -> str:
    """And its interval.

    >>> change_ends(Difference(share=0.047, ci95=[-0.01, 0.1], images=64))
    '1.0 fewer to 10 more'
    """
    if found is None or not found.ci95:
        return "–"
    return " to ".join(map(_more, found.ci95))


def _more(share: float) -> str:
    if abs(share) < TIED:
        return "as many"
    return f"{rate(abs(share))} {'more' if share > 0 else 'fewer'}"


def made_of(row: RespondedClass) -> str:
    """What an response with statistics was made of, as far as its sender tells.

    >>> made_of(RespondedClass.model_validate({"class": "a", "kind": "private_mean", "count": 94.0,
    ...                                       "unit": "patient"}))
    'about 94 patients, noised'
    """
    if row.kind is None:
        return "–"
    if row.count is None:
        return f"fewer than {FEWEST} images"
    return f"about {row.count:,.0f} {row.unit}s, noised" if row.unit else f"about {row.count:,.0f} images"


def _is(n: int) -> str:
    return "is" if n == 1 else "are"


def switch_off_sentence(limits: SwitchOff) -> str:
    """From when on the model is to be switched off again.

    >>> switch_off_sentence(
    ...     SwitchOff(quiet_checks=100, alarms_in_a_row=2, certain=0.001)
    ... )  # doctest: +ELLIPSIS
    'Switch it off when the same rule of clinical-qkt monitor alarms in 2 checks in a row, or at once ...'
    """
    row = f"in {limits.alarms_in_a_row} checks in a row" if limits.alarms_in_a_row > 1 else "once"
    rare = "" if not limits.certain else f" in fewer than 1 of {1 / limits.certain:,.0f} checks"
    return (
        f"Switch it off when the same rule of clinical-qkt monitor alarms {row}, or at once when images have "
        f"changed and chance does that{rare or ' hardly ever'}."
    )


def promised(row: RespondedClass) -> str:
    """Whom an answer's noise hides, and how well."""
    if row.kind is None:
        return "–"
    if row.epsilon is None or row.delta is None:
        return "none"
    return guarantee(row.epsilon, row.delta, row.unit or "unit that was not told")


def _most(value: Counted) -> str:
    return f"it may be as many as {rate(value.ci95[1])}" if value.ci95 else "interval unknown"


def told_rates(value: Counted) -> str:
    """A small share in a table.

    >>> told_rates(Counted(count=4, images=320, share=0.0125, ci95=[0.003, 0.032]))
    '1.2 (4 of 320; 0.3 to 3.2)'
    """
    if value.share is None:
        return "–"
    return f"{rate(value.share)} ({value.count} of {value.images}; {rates(value.ci95)})"
