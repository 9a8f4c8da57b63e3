"""What a model does on test images, and what it lost: types, as they are measured and stand in the summary.

Shares are in ``[0, 1]``, differences in ``[-1, 1]``; what cannot be known is null, never 0.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from clinical_qkt.core.values import Written


def rising(ends: list[float]) -> list[float]:
    """An interval, checked.

    Raises:
        ValueError: its upper end is below its lower one, so that its bad end would be the good one.

    >>> rising([0.1, 0.3])
    [0.1, 0.3]
    """
    if ends[0] > ends[1]:
        raise ValueError("the upper end of an interval is below its lower one")
    return ends


Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Difference = Annotated[float, Field(ge=-1, le=1, allow_inf_nan=False)]
Interval = Annotated[list[Difference], Field(min_length=2, max_length=2), AfterValidator(rising)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Amounts = Annotated[list[Amount], Field(min_length=2, max_length=2), AfterValidator(rising)]
Count = Annotated[int, Field(ge=0, le=10**12)]
CriterionName = Literal["query_recall", "false_alarms", "forgetting", "worst_forgetting", "calibration_error"]
Bound = Literal["at least", "at most"]
Outcome = Literal["met", "failed", "undecided"]


class Tested(Written):
    """How many test images there are, and of how many patients; null where the list names nobody."""

    images: Count
    patients: Count | None = None


class Row(Written):
    """What a model does on one class. What cannot be known is null, never 0."""

    recall: Share | None
    recall_ci95: Interval | None
    precision: Share | None
    f1: Share | None
    auroc: Share | None
    support: Count
    """Test images of the class."""
    patients: Count | None = None


class Alarms(Written):
    """Of so many images of other classes, how many are called a queried one."""

    count: Count
    images: Count
    patients: Count | None = None
    share: Share | None
    ci95: Interval | None


class FalseAlarms(Written):
    """Images of other classes that are called a queried class."""

    overall: Alarms
    """Of the images of the classes known before, how many are called any queried class."""
    per_class: dict[str, Alarms]
    """By queried class, of all images that are not of it."""


class Bin(Written):
    """Test images by the probability that the model states for the class that it names."""

    low: Share
    high: Share
    images: Count
    stated: Share | None
    """Its mean."""
    right: Share | None
    """How many of them are right."""


class Calibration(Written):
    """How far the stated probabilities can be believed."""

    error: Share | None
    """Expected calibration error."""
    ci95: Interval | None
    images: Count
    bins: list[Bin]


class Threshold(Written):
    """A queried class named from a probability on, whatever else the model thinks."""

    threshold: Share
    recognised: Share | None
    false_alarms: Share | None
    images: Count
    others: Count


class Agreement(Written):
    """How often two models say the same."""

    images: Count
    share: Share | None


class BaseRate(Written):
    """What an answer means where this share of the images shows the class."""

    own: bool
    """Whether it is the site's own prevalence."""
    prevalence: Share
    ppv: Share | None
    ppv_ci95: Interval
    npv: Share | None
    npv_ci95: Interval
    false_alarms_per_1000: Amount
    false_alarms_per_1000_ci95: Amounts
    missed_per_1000: Amount
    missed_per_1000_ci95: Amounts


class Groups(Written):
    """How many test images and patients stand behind the figures."""

    all: Tested
    retained: Tested
    queried: Tested


class Evaluation(Written):
    """What a model does on the test images: the part ``before`` or ``after``."""

    tested: Groups
    per_class: dict[str, Row]
    query_recall: Share | None
    """Unweighted mean over the queried classes."""
    query_recall_ci95: Interval | None
    false_alarms: FalseAlarms
    retained_recall: Share | None
    """Unweighted mean over the classes known before."""
    retained_recall_ci95: Interval | None
    calibration: Calibration
    confusion: list[list[Count]]
    """Rows are true classes, columns what is named, both as ``student.classes``, then ``student.query``."""
    thresholds: dict[str, list[Threshold]]
    base_rates: dict[str, list[BaseRate]]
    """By queried class; empty where nothing is known."""


class Criterion(Written):
    """One part of the rule, held against what was measured at its bad end."""

    name: CriterionName
    about: str | None = None
    """The class, where it is about one."""
    bound: Bound
    limit: Amount
    """In points, or of 100 images."""
    measured: Difference | None
    """As a share; null if nothing could be."""
    ci95: Interval | None
    outcome: Outcome
    images: Count
    patients: Count | None = None
    images_needed: Count | None = None
    """Of an undecided one: with about so many it would be decided, were the same measured on them."""
    written_by: Literal["hospital", "software"]


class Forgetting(Written):
    """Recall before minus recall after, on the same test images, with paired intervals."""

    per_class: dict[str, Difference | None]
    per_class_ci95: dict[str, Interval | None]
    mean: Difference | None
    """Gains make up for losses."""
    mean_ci95: Interval | None
    mean_loss: Share | None
    """A class that got better counts 0. The rule holds this one against the forgetting budget."""
    mean_loss_ci95: Interval | None
    worst: Difference | None
    worst_class: str | None
    worst_ci95: Interval | None
