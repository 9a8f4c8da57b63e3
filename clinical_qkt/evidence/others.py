"""What other hospitals measured of a new model on their test images, and which evidence a rule goes by.

They tell rounded counts. Each is taken at its bad end: counts were rounded down, percents to the nearest, so
the interval is wide enough for whatever the true counts are. Where patients are named, each counts once, as
nobody tells how much images of one patient resemble one another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import Field

from clinical_qkt.core.terms import EvidenceFrom
from clinical_qkt.evidence.criteria import Found, Heard, counted_as, on_own_images
from clinical_qkt.evidence.evaluation import Evaluation, Tested
from clinical_qkt.evidence.evaluation import Share as Whole
from clinical_qkt.evidence.intervals import Interval, mean, proportion
from clinical_qkt.evidence.parts import Interval as Ends
from clinical_qkt.evidence.parts import Part

_HALF = 0.005
"""By so much may a whole percent be off."""


class ToldClass(Part):
    """What one hospital measured of one gained class."""

    declined: str | None = None
    """Why it tells no recall; null if it does."""
    images: int | None = Field(default=None, ge=1)
    """Its test images of the class, rounded down."""
    patients: int | None = Field(default=None, ge=1)
    """Of how many patients, rounded down; null where none are named."""
    recall: int | None = Field(default=None, ge=0, le=100)
    """Of 100 of them, how many are recognised."""
    called: int | None = Field(default=None, ge=0)
    """Of its other images, how many are called so, rounded down."""


class ToldBySite(Part):
    """One hospital's assessment."""

    site: str
    signature: str
    card_sha256: str
    """Of the assessment's card."""
    rounding: int = Field(ge=1, le=100)
    """Counts are multiples of it, rounded down."""
    others: Tested | None
    """Its test images of the classes known before, rounded down; null: it tells no false alarms."""
    classes: dict[str, ToldClass]
    """By gained class."""


class PooledClass(Part):
    """One gained class over all hospitals that tell its recall."""

    sites: int
    images: int
    """At least, since each count is rounded down."""
    patients: int | None
    recall: Whole | None
    """Of all these images together."""
    ci95: Ends | None
    """Of ``recall``, with what rounding hides."""
    lowest: Whole | None
    """The hospital with the lowest recall."""
    highest: Whole | None
    """The hospital with the highest."""


class PooledAlarms(Part):
    """False alarms over all hospitals that tell them for every gained class."""

    sites: int
    count: int
    """At least."""
    images: int
    """At least, of the classes known before."""
    patients: int | None
    share: Whole | None
    ci95: Ends | None
    """With what rounding hides."""
    lowest: Whole | None
    highest: Whole | None


class MeasuredByOthers(Part):
    """What other hospitals measured of the new model."""

    sites: list[ToldBySite] = Field(min_length=1)
    classes: dict[str, PooledClass]
    """By queried class."""
    false_alarms: PooledAlarms


@dataclass(frozen=True)
class Counted:
    """A share as far as it is known.

    Attributes:
        low, middle, high: of the images.
        least, most: how many images there are.
        size: how many independent ones they are at least.
        patients: of how many; None where they name nobody.
    """

    low: float
    middle: float
    high: float
    least: int
    most: int
    size: float
    patients: int | None


def recall_of(told: ToldClass, rounding: int) -> Counted | None:
    """One hospital's recall of a class; None if it tells none.

    >>> one = recall_of(ToldClass(images=95, recall=97), rounding=5)
    >>> one.low, one.high, one.least, one.most
    (0.965, 0.975, 95, 99)
    """
    if told.recall is None or told.images is None:
        return None
    middle, n = told.recall / 100, told.images
    low, high = max(0.0, round(middle - _HALF, 4)), min(1.0, round(middle + _HALF, 4))
    return Counted(low, middle, high, n, n + rounding - 1, told.patients or n, told.patients)


def alarms_of(site: ToldBySite, queried: Sequence[str]) -> Counted | None:
    """One hospital's false alarms; None unless it tells those of every queried class.

    >>> told = {"a": ToldClass(declined="few", called=5), "b": ToldClass(declined="few", called=0)}
    >>> other = Tested(images=400)
    >>> site = ToldBySite(site="s", signature="", card_sha256="", rounding=5, others=other, classes=told)
    >>> found = alarms_of(site, ["a", "b"])
    >>> round(found.low, 4), found.middle, found.high
    (0.0124, 0.0125, 0.0325)
    """
    called = [site.classes[name].called for name in queried if name in site.classes]
    if site.others is None or len(called) < len(queried) or None in called:
        return None
    count, n, hidden = sum(c or 0 for c in called), site.others.images, site.rounding - 1
    most, patients = min(n, count + hidden * len(called)), site.others.patients
    return Counted(
        count / (n + hidden), min(1.0, count / n), most / n, n, n + hidden, patients or n, patients
    )


def pooled(parts: Sequence[Counted]) -> Found:
    """All images together.

    >>> found = pooled([Counted(0.9, 0.9, 0.9, 100, 100, 100, None)])
    >>> found.share, [round(end, 3) for end in found.ci95] == [round(e, 3) for e in proportion(90, 100)]
    (0.9, True)
    """
    if not parts:
        return Found(None, None, Tested(images=0))
    images, size = sum(p.least for p in parts), sum(p.size for p in parts)
    middle = sum(p.middle * p.least for p in parts) / images
    ends = proportion(_least(parts) * size, size), proportion((1 - _least(_turned(parts))) * size, size)
    assert ends[0] and ends[1]
    named = [p.patients for p in parts if p.patients is not None]
    people = sum(named) if len(named) == len(parts) else None
    return Found(middle, [ends[0][0], ends[1][1]], Tested(images=images, patients=people))


def _least(parts: Sequence[Counted]) -> float:
    """The smallest share of all images that goes with what is told: the hidden ones are where it is low."""
    ranked = sorted(parts, key=lambda p: p.low)
    shares = []
    for k in range(len(ranked) + 1):
        sizes = [p.most if i < k else p.least for i, p in enumerate(ranked)]
        shares.append(sum(p.low * n for p, n in zip(ranked, sizes, strict=True)) / sum(sizes))
    return min(shares)


def _turned(parts: Sequence[Counted]) -> list[Counted]:
    return [Counted(1 - p.high, 1 - p.middle, 1 - p.low, p.least, p.most, p.size, p.patients) for p in parts]


def measured_by_others(sites: Sequence[ToldBySite], queried: Sequence[str]) -> MeasuredByOthers:
    """All that hospitals told, by class and together.

    >>> dog, others = ToldClass(images=95, recall=97, called=5), Tested(images=400)
    >>> about = {"signature": "trusted", "card_sha256": "", "rounding": 5, "others": others}
    >>> found = measured_by_others([ToldBySite(site="s", classes={"dog": dog}, **about)], ["dog"])
    >>> found.classes["dog"].recall, found.classes["dog"].images, found.false_alarms.count
    (0.97, 95, 5)
    """
    alarms = [found for site in sites if (found := alarms_of(site, queried))]
    whole = pooled(alarms)
    return MeasuredByOthers(
        sites=list(sites),
        classes={name: _class(_recalls(sites, name)) for name in queried},
        false_alarms=PooledAlarms(
            sites=len(alarms),
            count=sum(round(a.middle * a.least) for a in alarms),
            images=whole.tested.images,
            patients=whole.tested.patients,
            share=_rounded(whole.share),
            ci95=_ends(whole.ci95),
            lowest=min((_rounded(a.middle) for a in alarms), default=None),
            highest=max((_rounded(a.middle) for a in alarms), default=None),
        ),
    )


def _class(parts: Sequence[Counted]) -> PooledClass:
    found = pooled(parts)
    return PooledClass(
        sites=len(parts),
        images=found.tested.images,
        patients=found.tested.patients,
        recall=_rounded(found.share),
        ci95=_ends(found.ci95),
        lowest=min((p.middle for p in parts), default=None),
        highest=max((p.middle for p in parts), default=None),
    )


def _recalls(sites: Sequence[ToldBySite], name: str) -> list[Counted]:
    told = ((site.classes.get(name), site.rounding) for site in sites)
    return [found for one, rounding in told if one and (found := recall_of(one, rounding))]


def heard(
    evidence: EvidenceFrom, after: Evaluation, queried: Sequence[str], others: MeasuredByOthers | None
) -> Heard:
    """What the criteria on recall of queried classes and on false alarms are held against.

    Args:
        evidence: whose test images count.
        after: what the new model does on the own ones.
        queried: the queried classes.
        others: what other hospitals measured; None: nothing.
    """
    if evidence == "own":
        return on_own_images(after)
    own, alarms = evidence == "both", after.false_alarms.overall
    sites = others.sites if others else []
    each = [pooled(_recalls(sites, name) + (_own_recall(after, name) if own else [])) for name in queried]
    counted = [found for site in sites if (found := alarms_of(site, queried))]
    if own and alarms.share is not None and alarms.ci95 is not None:
        counted.append(_exact(alarms.share, alarms.ci95, alarms.images, alarms.patients))
    return Heard(_mean(each), _told(pooled(counted)))


def _own_recall(after: Evaluation, name: str) -> list[Counted]:
    row = after.per_class[name]
    if row.recall is None or row.recall_ci95 is None:
        return []
    return [_exact(row.recall, row.recall_ci95, row.support, row.patients)]


def _exact(share: float, ends: Interval, images: int, patients: int | None) -> Counted:
    size = counted_as(share, ends, images)
    return Counted(share, share, share, images, images, size, patients)


def _mean(each: Sequence[Found]) -> Found:
    """The unweighted mean over classes; unknown where one of them is."""
    people = [f.tested.patients for f in each]
    tested = Tested(
        images=sum(f.tested.images for f in each),
        patients=None if None in people else sum(p or 0 for p in people),
    )
    shares, ends = [f.share for f in each if f.share is not None], [f.ci95 for f in each if f.ci95]
    if len(shares) < len(each):
        return Found(None, None, tested)
    low, high = mean(shares, ends)
    return _told(Found(sum(shares) / len(shares), [max(0.0, low), min(1.0, high)], tested))


def _told(found: Found) -> Found:
    return Found(_rounded(found.share), _ends(found.ci95), found.tested)


def _rounded(share: float | None) -> float:
    return None if share is None else round(share, 6)  # type: ignore[return-value]


def _ends(ends: Interval | None) -> Interval | None:
    """A little wider, never narrower, than what was found."""
    return None if ends is None else [max(0.0, round(ends[0] - 1e-6, 6)), min(1.0, round(ends[1] + 1e-6, 6))]
