"""What the report tells besides the summary's own figures: all of it follows from the summary alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from clinical_qkt.evidence import metrics
from clinical_qkt.evidence.evaluation import Bin, Evaluation, Threshold
from clinical_qkt.evidence.intervals import proportion
from clinical_qkt.review.summary_schema import RespondedClass, TransferSummary

Summary = TransferSummary
SURE = 0.9
"""From this probability on the report calls the model sure of itself."""
SHOWN = (5, 10, 30, 50, 70, 90, 95)
"""Thresholds in percent that stand in a table; the figure draws all of them."""
TIED = 1e-9
"""Shares of the same images that differ by less are the same."""


class Mistake(NamedTuple):
    """Images of one class that were called another, before and after: counts of ``images``."""

    true: str
    called: str
    before: int
    after: int
    images: int

    @property
    def more(self) -> float:
        """How many more of 100 images; below zero, fewer."""
        return 100 * (self.after - self.before) / self.images


class Group(NamedTuple):
    """Test images for which the model stated a similar probability."""

    images: int
    stated: float
    right: int


class Default(NamedTuple):
    """What the model does with a queried class when it names the most probable one: counts of images."""

    recognised: int
    images: int
    false_alarms: int
    others: int


class Stated(NamedTuple):
    """Test images by the probability that the models state, before and after.

    Attributes:
        low, high: ends of the range of probabilities.
        interval: of the share of right answers after; None without any, and where images name patients.
    """

    low: float
    high: float
    before: Bin
    after: Bin
    interval: list[float] | None


class Called(NamedTuple):
    """Of a class's test images, how many are called a queried one.

    Attributes:
        interval: of the share, where each image counts for itself; None where images name patients, for the
            counts do not tell whose images they are.
    """

    true: str
    hits: int
    images: int
    interval: list[float] | None


class Given(NamedTuple):
    """What a site answered for one class by statistics."""

    site: str
    told: RespondedClass


def untested(summary: Summary) -> list[str]:
    """The queried classes without any test image."""
    return [n for n in summary.student.query if not summary.after.per_class[n].support]


def few(summary: Summary) -> dict[str, int]:
    """The queried classes with so few test images that their intervals are wide, with how many there are."""
    tested = {n: summary.after.per_class[n].support for n in summary.student.query}
    return {name: n for name, n in tested.items() if 0 < n < metrics.FEW}


def images_of(summary: Summary, names: Sequence[str]) -> int:
    """How many test images there are of these classes."""
    return sum(summary.after.per_class[n].support for n in names)


def lost_most(summary: Summary) -> list[str]:
    """Every class that lost as much as the one that lost most; empty if none lost anything."""
    worst = summary.forgetting.worst
    if worst is None or worst <= TIED:
        return []
    each = summary.forgetting.per_class
    return [n for n, v in each.items() if v is not None and abs(v - worst) < TIED]


def mistakes(summary: Summary) -> list[Mistake]:
    """Every mistake that became more or less common; those that grew most come first."""
    names = summary.names
    before, after = summary.before.confusion, summary.after.confusion
    found = [
        Mistake(true, called, before[i][j], after[i][j], sum(after[i]))
        for i, true in enumerate(names)
        for j, called in enumerate(names)
        if i != j and before[i][j] != after[i][j]
    ]
    return sorted(found, key=lambda m: -m.more)


def defaults(summary: Summary) -> dict[str, Default]:
    """By queried class, what the model does with it when it names the most probable class."""
    names, counts = summary.names, summary.after.confusion
    told = {}
    for name in summary.student.query:
        q = names.index(name)
        named = sum(row[q] for row in counts)
        images = sum(counts[q])
        others = sum(n for row in counts for n in row) - images
        told[name] = Default(counts[q][q], images, named - counts[q][q], others)
    return told


def thresholds(summary: Summary, name: str) -> list[Threshold]:
    """Those of a queried class that are shown in a table."""
    return [r for r in summary.after.thresholds[name] if round(100 * r.threshold) in SHOWN]


def sure_and_unsure(part: Evaluation) -> tuple[Group | None, Group | None]:
    """The test images on which the model is sure, and the others; None where there are none."""
    bins = [b for b in part.calibration.bins if b.images]
    split = ([b for b in bins if b.low >= SURE], [b for b in bins if b.low < SURE])
    return _together(split[0]), _together(split[1])


def overconfidence(part: Evaluation) -> float | None:
    """Mean stated probability minus share of right answers; below zero, the model is too modest."""
    whole = _together([b for b in part.calibration.bins if b.images])
    return whole and whole.stated - whole.right / whole.images


def bins(summary: Summary) -> list[Stated]:
    """A row for each range of stated probability that holds a test image before or after."""
    pairs = zip(summary.before.calibration.bins, summary.after.calibration.bins, strict=True)
    return [
        Stated(a.low, a.high, b, a, _interval(summary, _right(a), a.images))
        for b, a in pairs
        if b.images or a.images
    ]


def called(summary: Summary, query: str) -> list[Called]:
    """What images of other classes are called a queried one; those with the largest share come first."""
    names, q = summary.names, summary.names.index(query)
    rows = [
        Called(true, row[q], sum(row), _interval(summary, row[q], sum(row)))
        for true, row in zip(names, summary.after.confusion, strict=True)
        if true != query and any(row)
    ]
    return sorted(rows, key=lambda r: -r.hits / r.images)


def _interval(summary: Summary, count: int, images: int) -> list[float] | None:
    return proportion(count, images) if summary.after.tested.all.patients is None else None


def answered(summary: Summary) -> list[Given]:
    """One row for each site and class that was answered for with statistics."""
    return [Given(a.site, row) for a in summary.responses for row in a.classes if row.kind is not None]


def relabelled(summary: Summary) -> dict[str, list[str]]:
    """By teacher, its classes that are parts of one of the student's, or none of them; empty if all are."""
    told = {
        t.site: [
            f"{row.name}: {'part of ' + row.as_ if row.as_ else row.how}"
            for row in t.alignment
            if row.how == "merged" or row.as_ is None
        ]
        for t in summary.teachers
    }
    return told if any(told.values()) else {}


def _together(bins: Sequence[Bin]) -> Group | None:
    images = sum(b.images for b in bins)
    if not images:
        return None
    stated = sum((b.stated or 0) * b.images for b in bins)
    return Group(images, stated / images, sum(map(_right, bins)))


def _right(b: Bin) -> int:
    return round((b.right or 0) * b.images)
