"""Whether other hospitals' images look different, in sentences: what was done, and what it means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from clinical_qkt.evidence.looks import ALIKE, BEYOND, UNKNOWN, WITHIN, against, odd_classes, together
from clinical_qkt.evidence.parts import SiteLook
from clinical_qkt.review.report.facts import Summary
from clinical_qkt.review.report.spelled import joined

KINDS = {ALIKE: "yes", WITHIN: "yes", UNKNOWN: "open", BEYOND: "no"}
"""How an outcome is marked where it is drawn."""
NOTHING = "–"


class Line(NamedTuple):
    """One model or answer, in words.

    Attributes:
        what: came of the site.
        before, after: the difference in look, and what is left of it.
        rests_on: what the comparison rests on.
        outcome: and its mark.
    """

    site: str
    what: str
    before: str
    after: str
    rests_on: str
    outcome: str
    kind: str


def sentences(summary: Summary) -> list[str]:
    """What a reader of the first page must know; empty where all images look alike, or nobody has looked."""
    if summary.looks is None:
        return []
    used = [one for one in summary.looks.sites if one.used]
    told = [*_kept_within(used), *_beyond(summary, used), *_not_known(used)]
    return [*told, *_left_out(summary), *_odd(summary)]


def lines(summary: Summary) -> list[Line]:
    """A row for each model and each answer."""
    return [] if summary.looks is None else [_line(one) for one in summary.looks.sites]


def reason(summary: Summary) -> str | None:
    """What speaks against the model, without a full stop; None if looks do not."""
    if summary.looks is None or not against(summary.looks, summary.criteria, summary.rule.evidence):
        return None
    sites = _sites([one for one in summary.looks.sites if one.used and one.outcome == BEYOND])
    return (
        f"looks: images of {joined(sites)} look different, beyond the limits, and test images do not show "
        "that the model works here"
    )


def in_a_word(summary: Summary) -> str:
    """For a table: how many models and answers lie beyond the limits.

    >>> in_a_word(Summary.model_construct(looks=None))
    'not known'
    """
    if summary.looks is None or not (used := [one for one in summary.looks.sites if one.used]):
        return UNKNOWN
    if beyond := sum(one.outcome == BEYOND for one in used):
        return f"{beyond} of {len(used)} beyond"
    return next(worst for worst in (UNKNOWN, WITHIN, ALIKE) if any(o.outcome == worst for o in used))


def _kept_within(used: Sequence[SiteLook]) -> list[str]:
    found = [one for one in used if one.outcome == WITHIN]
    told = []
    if models := _sites([one for one in found if one.gave == "model"]):
        each = "Its model is shown" if len(models) == 1 else "Each model is shown"
        told.append(
            f"The images of {joined(models)} look different. {each} this hospital's images in its own look, "
            "and what is left is within the limit."
        )
    if numbers := _sites([one for one in found if one.gave != "model"]):
        told.append(
            f"The images of {joined(numbers)} look different. They were brought to this hospital's look, and "
            "what is left is within the limit."
        )
    return told


def _beyond(summary: Summary, used: Sequence[SiteLook]) -> list[str]:
    found = [one for one in used if one.outcome == BEYOND]
    if not found or summary.looks is None:
        return []
    limits = summary.looks.limits
    each = "; ".join(dict.fromkeys(f"{one.site}: {_why(one, limits)}" for one in found))
    meaning = "Test images of the queried classes show that it works here all the same."
    if together(summary.looks.sites) != BEYOND:
        meaning = "As many other answers, of which it is known what is left, outweigh that."
    elif against(summary.looks, summary.criteria, summary.rule.evidence):
        meaning = "This speaks against the model: test images do not show that it works here all the same."
    return [f"The images of {joined(_sites(found))} look different, beyond the limits ({each}). {meaning}"]


def _why(one: SiteLook, limits: dict[str, float]) -> str:
    if one.length is not None and one.length > limits["length"]:
        return f"its features of {one.query} lie {one.length:.1f} times as far out as the query asks for"
    if one.left is not None and one.left > limits["residual"]:
        limit = f"{limits['residual']:g}"
        what = "are left after they were brought to one look" if one.mapped else "lie between their features"
        return f"{one.left:.1f} spreads {what}, {limit} are allowed"
    done = "they were brought to one look, but no class is shared that would show what is left"
    return f"{_distance(one.distance)} spreads apart, {done if one.mapped else 'nothing was done about it'}"


def _not_known(used: Sequence[SiteLook]) -> list[str]:
    found = _sites([one for one in used if one.outcome == UNKNOWN])
    return [f"Whether the images of {joined(found)} look different is not known."] if found else []


def _left_out(summary: Summary) -> list[str]:
    assert summary.looks is not None
    found = [one for one in summary.looks.sites if not one.used]
    return [
        f"The answer of {one.site} for {one.query} was left out: no class is shared that would show how its "
        "images look, and other answers are surer."
        for one in found
    ]


def _odd(summary: Summary) -> list[str]:
    assert summary.looks is not None
    found = odd_classes(summary.looks)
    each = {site: [name for at, name in found if at == site] for site, _ in found}
    return [
        f"At {site} images of {joined(names)} differ in another way than its other classes: "
        f"{'the name' if len(names) == 1 else 'a name'} may mean something else there."
        for site, names in each.items()
    ]


def _line(one: SiteLook) -> Line:
    gave = "model" if one.query is None else f"{one.gave}: {one.query}"
    rests_on = (
        joined(one.shared) if one.shared else "further hospitals" if one.distance is not None else NOTHING
    )
    after = NOTHING if one.left is None else _distance(one.left)
    return Line(
        site=one.site,
        what=gave if one.used else f"{gave} (left out)",
        before=NOTHING if one.distance is None else _distance(one.distance),
        after=after if one.mapped else "not mapped",
        rests_on=rests_on,
        outcome=one.outcome,
        kind=KINDS[one.outcome],
    )


def _sites(found: Sequence[SiteLook]) -> list[str]:
    return list(dict.fromkeys(one.site for one in found))


def _distance(value: float | None) -> str:
    """
    >>> _distance(0.07), _distance(4.21), _distance(235.4)
    ('0.07', '4.2', '235')
    """
    if value is None:
        return NOTHING
    return f"{value:.2f}" if value < 0.995 else f"{value:.1f}" if value < 9.95 else f"{value:,.0f}"
