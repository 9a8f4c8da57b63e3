"""What the report tells besides the summary's own figures: all of it follows from the summary alone."""

from __future__ import annotations

from typing import Any, NamedTuple

from clinical_qkt import metrics

Summary = dict[str, Any]
SURE = 0.9
"""From this probability on the report calls the model sure of itself."""


class Demand(NamedTuple):
    """One part of the site's rule, beside what was measured; all in points, or of 100 images."""

    what: str
    asked: str
    measured: str
    met: bool


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


def names_of(summary: Summary) -> list[str]:
    """All classes, in the order of the confusion's rows: the student's own, then the queried ones."""
    return [*summary["student"]["classes"], *summary["student"]["query"]]


def untested(summary: Summary) -> list[str]:
    """The queried classes without any test image."""
    return [n for n in summary["student"]["query"] if not summary["after"]["per_class"][n]["support"]]


def few(summary: Summary) -> dict[str, int]:
    """The queried classes with so few test images that their intervals are wide, with how many there are."""
    tested = {n: summary["after"]["per_class"][n]["support"] for n in summary["student"]["query"]}
    return {name: n for name, n in tested.items() if 0 < n < metrics.FEW}


def images_of(summary: Summary, names: list[str]) -> int:
    """How many test images there are of these classes."""
    return sum(summary["after"]["per_class"][n]["support"] for n in names)


def demands(summary: Summary) -> list[Demand]:
    """The site's rule: what was asked for, what was measured, whether it was met.

    They are met together exactly where the summary says ``accepted``; see ``acceptance.decision``.
    """
    after, lost, rule = summary["after"], summary["forgetting"], summary["acceptance"]
    interval = after["query_recall_ci95"]
    low = 100 * interval[0] if interval else None
    worst = lost["worst"]
    which = next((n for n, v in lost["per_class"].items() if v is not None and v == worst), None)
    named = f" ({which})" if which and worst > 0 else ""
    error = after["calibration"]["error"]
    gained = bool(after["query_recall"]) and low is not None and low >= rule["query_recall"]
    return [
        Demand(
            "Queried classes: of 100 images recognised, even at the lower end of the 95 % interval",
            f"at least {rule['query_recall']:g}",
            _beside(low, rule["query_recall"], 0),
            gained,
        ),
        _at_most("Classes known before: of 100 images, lost on average", lost["mean"], _budget(summary)),
        _at_most(
            f"Classes known before: of 100 images, lost by the class that lost most{named}",
            worst,
            rule["worst_forgetting"],
        ),
        _at_most(
            "Stated probabilities: points by which they are off, on average",
            error,
            rule["calibration_error"],
        ),
    ]


def mistakes(summary: Summary) -> list[Mistake]:
    """Every mistake that became more or less common; those that grew most come first."""
    names = names_of(summary)
    before, after = summary["before"]["confusion"], summary["after"]["confusion"]
    found = [
        Mistake(true, called, before[i][j], after[i][j], sum(after[i]))
        for i, true in enumerate(names)
        for j, called in enumerate(names)
        if i != j and before[i][j] != after[i][j]
    ]
    return sorted(found, key=lambda m: -m.more)


def defaults(summary: Summary) -> dict[str, Default]:
    """By queried class, what the model does with it when it names the most probable class."""
    names, counts = names_of(summary), summary["after"]["confusion"]
    told = {}
    for name in summary["student"]["query"]:
        q = names.index(name)
        called = sum(row[q] for row in counts)
        images = sum(counts[q])
        others = sum(map(sum, counts)) - images
        told[name] = Default(counts[q][q], images, called - counts[q][q], others)
    return told


def sure_and_unsure(part: Summary) -> tuple[Group | None, Group | None]:
    """The test images on which the model is sure, and the others; None where there are none.

    Args:
        part: ``before`` or ``after`` of the summary.
    """
    bins = [b for b in part["calibration"]["bins"] if b["images"]]
    split = ([b for b in bins if b["low"] >= SURE], [b for b in bins if b["low"] < SURE])
    return _together(split[0]), _together(split[1])


def overconfidence(part: Summary) -> float | None:
    """Mean stated probability minus share of right answers; below zero, the model is too modest."""
    whole = _together([b for b in part["calibration"]["bins"] if b["images"]])
    return whole and whole.stated - whole.right / whole.images


def bins(summary: Summary) -> list[dict[str, Any]]:
    """A row for each range of stated probability that holds a test image before or after."""
    told = (summary[when]["calibration"]["bins"] for when in ("before", "after"))
    return [
        {
            "low": a["low"],
            "high": a["high"],
            "before": b | {"right_images": _right(b)},
            "after": a
            | {"right_images": _right(a), "interval": metrics.recall_interval(_right(a), a["images"])},
        }
        for b, a in zip(*told, strict=True)
        if b["images"] or a["images"]
    ]


def answered(summary: Summary) -> list[dict[str, Any]]:
    """One row for each site and class that was answered for with statistics, with the site's name."""
    return [
        {"site": a["site"], **row}
        for a in summary["answers"]
        for row in a["classes"]
        if row["kind"] is not None
    ]


def relabelled(summary: Summary) -> dict[str, list[str]]:
    """By teacher, its classes that are parts of one of the student's, or none of them; empty if all are."""
    told = {
        t["site"]: [
            f"{row['class']}: {'part of ' + row['as'] if row['as'] else row['how']}"
            for row in t["alignment"]
            if row["how"] == "merged" or row["as"] is None
        ]
        for t in summary["teachers"]
    }
    return told if any(told.values()) else {}


def _budget(summary: Summary) -> float:
    return float(summary["budget"]["forgetting"])


def _at_most(what: str, share: float | None, limit: float) -> Demand:
    value = None if share is None else 100 * share
    return Demand(what, f"at most {limit:g}", _beside(value, limit, 1), value is not None and value <= limit)


def _beside(value: float | None, limit: float, digits: int) -> str:
    """A figure, with as many digits as it takes to see on which side of the limit it lies."""
    if value is None:
        return "unknown"
    while digits < 6 and _side(float(f"{value:.{digits}f}"), limit) != _side(value, limit):
        digits += 1
    return f"{value + 0.0:.{digits}f}"


def _side(value: float, limit: float) -> int:
    return (value > limit) - (value < limit)


def _together(bins: list[dict[str, Any]]) -> Group | None:
    images = sum(b["images"] for b in bins)
    if not images:
        return None
    return Group(images, sum(b["stated"] * b["images"] for b in bins) / images, sum(map(_right, bins)))


def _right(b: dict[str, Any]) -> int:
    return round((b["right"] or 0) * b["images"])
