"""Whether other hospitals' images look different, and whether that speaks against a new model.

A distance is in spreads between the hospital's own images of a class. Images that look different are brought
to one look before a network sees them; what is left of the difference then shows on classes that both know.
Test images of the queried classes show more than any of this: where they meet the rule, looks only warn.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from clinical_qkt.core.terms import EvidenceFrom, LookOutcome, Verdict
from clinical_qkt.evidence.acceptance import LookLimits
from clinical_qkt.evidence.criteria import FAILED, MET, verdict
from clinical_qkt.evidence.evaluation import Criterion
from clinical_qkt.evidence.parts import Looks, SiteLook

ALIKE: Final = "alike"
WITHIN: Final = "within the limits"
BEYOND: Final = "beyond the limits"
UNKNOWN: Final = "not known"
WORST: tuple[LookOutcome, ...] = (BEYOND, UNKNOWN, WITHIN, ALIKE)
"""Of several the first one counts."""


def outcome(limits: LookLimits, one: SiteLook) -> LookOutcome:
    """Of one site's images, by the figures that are told of them.

    >>> about = {"site": "s", "gave": "model", "query": None, "used": True, "shared": [], "length": None}
    >>> mapped = [SiteLook(**about, distance=4.0, mapped=True, left=left) for left in (0.1, 2.0, None)]
    >>> [outcome(LookLimits(), one) for one in mapped]
    ['within the limits', 'beyond the limits', 'beyond the limits']
    >>> outcome(LookLimits(), SiteLook(**about, distance=0.1, mapped=False, left=2.0))  # noise hid it
    'beyond the limits'
    """
    if one.length is not None and one.length > limits.length:
        return BEYOND
    if one.distance is None:
        return UNKNOWN
    if one.left is not None and one.left > limits.residual:
        return BEYOND
    if one.distance > limits.distance_without_map and not (one.mapped and one.left is not None):
        return BEYOND
    return WITHIN if one.mapped else ALIKE


def judged(limits: LookLimits, sites: Sequence[SiteLook]) -> Looks:
    """The part of the summary, of figures that nobody has judged yet.

    >>> about = {"site": "s", "gave": "model", "query": None, "used": True, "shared": [], "length": None}
    >>> looks = judged(LookLimits(), [SiteLook(**about, distance=0.1, mapped=False, left=None)])
    >>> [one.outcome for one in looks.sites]
    ['alike']
    """
    found = [one.model_copy(update={"outcome": outcome(limits, one)}) for one in sites]
    return Looks(limits=limits.model_dump(), sites=found)


def together(sites: Sequence[SiteLook]) -> LookOutcome:
    """Of all that was used; what ``outweighed`` names does not count.

    >>> about = {"gave": "model", "query": None, "shared": [], "length": None, "mapped": False, "left": None}
    >>> near = SiteLook(**about, site="a", used=True, distance=0.1, outcome="alike")
    >>> far = SiteLook(**about, site="b", used=True, distance=9.0, outcome="beyond the limits")
    >>> together([near, far]), together([near, far.model_copy(update={"used": False})])
    ('beyond the limits', 'alike')
    """
    out = outweighed(sites)
    found = {one.outcome for one in sites if one.used and one not in out}
    return next((worst for worst in WORST if worst in found), UNKNOWN)


def outweighed(sites: Sequence[SiteLook]) -> list[SiteLook]:
    """Statistics of a class that were compared through further sites, so that nothing shows what is left, if
    at least as many other answers for that class are used and none of these lies beyond the limits.

    >>> about = {"gave": "statistics", "query": "c", "used": True, "length": None, "mapped": True}
    >>> known = SiteLook(**about, site="a", shared=["x"], distance=2.0, left=0.2, outcome="within the limits")
    >>> through = SiteLook(**about, site="b", shared=[], distance=2.0, left=None, outcome="beyond the limits")
    >>> [one.site for one in outweighed([known, through])], outweighed([through]), together([known, through])
    (['b'], [], 'within the limits')
    """
    found: list[SiteLook] = []
    for query in {one.query for one in sites if one.query is not None}:
        used = [one for one in sites if one.used and one.query == query]
        through = [one for one in used if one.mapped and not one.shared and one.left is None]
        others = [one for one in used if one not in through]
        if len(others) >= len(through) and all(one.outcome in (WITHIN, ALIKE) for one in others):
            found += [one for one in through if one.outcome == BEYOND]
    return found


def against(looks: Looks | None, criteria: Sequence[Criterion], evidence: EvidenceFrom = "own") -> bool:
    """Whether looks speak against acceptance: beyond the limits, and no own test image speaks for the model.

    Args:
        evidence: whose images the criteria are of: others' do not show that it works on images that look as
            the own ones do.

    >>> against(None, [])  # nobody told of looks
    False
    """
    shown = evidence == "own" and any(c.name == "query_recall" and c.outcome == MET for c in criteria)
    return looks is not None and together(looks.sites) == BEYOND and not shown


def decided(looks: Looks | None, criteria: Sequence[Criterion], evidence: EvidenceFrom = "own") -> Verdict:
    """The verdict of the criteria and of looks together.

    >>> decided(None, [])
    'accepted'
    """
    return verdict([*(c.outcome for c in criteria), FAILED if against(looks, criteria, evidence) else MET])


def odd_classes(looks: Looks) -> list[tuple[str, str]]:
    """Site and class where a shared class looks otherwise than the site's other classes do.

    >>> about = {"gave": "model", "query": None, "used": True, "shared": ["a", "b"], "length": None}
    >>> one = SiteLook(**about, site="s", distance=4.0, mapped=True, left=0.1, apart={"a": 0.1, "b": 2.0})
    >>> odd_classes(judged(LookLimits(), [one]))
    [('s', 'b')]
    """
    limit = looks.limits.get("class_apart", float("inf"))
    return [(one.site, name) for one in looks.sites for name, apart in one.apart.items() if apart > limit]
