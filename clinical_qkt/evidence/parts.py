"""What single parts of a transfer's evidence say: plain JSON types, without torch or MONAI.

Shares lie in ``[0, 1]``. ``ci95`` is a 95 % interval ``[low, high]``. What cannot be known is null, never 0.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from clinical_qkt.core.terms import LookOutcome
from clinical_qkt.core.values import Written

Interval = Annotated[list[float], Field(min_length=2, max_length=2)]
Share = Annotated[float, Field(ge=0, le=1)]
Amount = Annotated[float, Field(ge=0)]


class Part(Written):
    """A part of the summary."""

    model_config = ConfigDict(allow_inf_nan=False)


class Counted(Part):
    """Of so many images, so many."""

    count: int
    images: int
    share: Share | None
    """Null without images."""
    ci95: Interval | None


class Difference(Part):
    """A share of the new model minus that of another one, on the same images."""

    share: float | None
    """In ``[-1, 1]``; null without images."""
    ci95: Interval | None
    images: int


# --- abstention


class AbstentionPoint(Part):
    """The model's answer counts from a stated probability on; a person looks at the rest."""

    threshold: Share
    answered: int
    """Images for which the model states at least that probability."""
    looked_at: int
    """Images that are left to a person."""
    wrong: int
    """Wrong answers among those given."""
    wrong_share: Share | None
    ci95: Interval | None
    """Of ``wrong_share``."""
    missed: Counted
    """Of the answered images of a queried class, how many are called another one."""
    false_alarms: Counted
    """Of the answered images of other classes, how many are called a queried one."""


class Abstention(Part):
    """Coverage against error."""

    images: int
    points: list[AbstentionPoint]
    """With thresholds that rise; the first is 0, where the model answers for every image."""


# --- none of these


class GateScore(Part):
    """One candidate for the gate, judged on own validation images alone."""

    score: str
    auroc: Share | None
    """Mean over the retained classes, each taken as unknown once; null where there are too few."""


class GateSource(Part):
    """Images of no class of the model's list, and how many of them are told."""

    name: str
    kind: Literal["hidden class", "noise and shapes", "another modality", "excluded class"]
    images: int
    auroc: Share | None
    """How well the score tells them from test images of known classes: 0.5 is a guess, 1 perfect."""
    ci95: Interval | None
    """Of ``auroc``."""
    refused: Counted
    """How many of them get 'none of these'."""


class GateCost(Part):
    """Images of known classes that get 'none of these' on the test set."""

    retained: Counted
    queried: Counted
    right: Counted
    """Of the images that the model names rightly, how many are held back."""


class Gate(Part):
    """When the model says 'none of these', and what that is worth.

    There are two reasons: a picture unlike the site's own, by brightness, contrast and sharpness; or an image
    that looks like no class, by what the model says of it.
    """

    score: str
    """Of what the model says: ``max_probability``, ``margin``, ``max_logit`` or ``energy``."""
    threshold: float
    """Below it the answer is 'none of these'."""
    kept: Share
    """Share of own validation images that the threshold was set to let pass."""
    validation_images: int
    candidates: list[GateScore]
    unlike: bool
    """Whether pictures unlike the site's own are told, too."""
    cost: GateCost
    sources: list[GateSource]


# --- looks


class SiteLook(Part):
    """How the images behind one package look beside the student's own."""

    site: str
    gave: Literal["model", "statistics", "private statistics"]
    query: str | None
    """The queried class that the statistics are of; null of a model."""
    used: bool
    """Whether it is in the new model: answers that cannot be compared are left out where others can."""
    shared: list[str]
    """Classes that both know, on which the comparison rests; empty: on further sites, or on nothing."""
    distance: Amount | None
    """Of the looks, in spreads between the student's own images of a class; null: nothing was compared."""
    mapped: bool
    """Whether images were brought from one look to the other."""
    left: Amount | None
    """Of the difference after that, in spreads: of a model between looks, of statistics between features;
    null where nothing was mapped, or no class is shared."""
    length: Amount | None
    """Of the queried class's mean features, in units of the query's radius; null of a model."""
    apart: dict[str, Amount] = Field(default={})
    """Of a model's shared classes, by how much each looks otherwise than all of them do, in spreads."""
    outcome: LookOutcome = "not known"


class Looks(Part):
    """Whether other sites' images look different, and what was done about it."""

    limits: dict[str, Amount]
    """From when on that counts, see the key `acceptance::looks` of a site's YAML."""
    sites: list[SiteLook]
    """One for each model that took part, and for each answer by statistics."""


# --- subgroups


class Subgroup(Part):
    """The test images with one value in one column of the labels' table. Null where suppressed."""

    value: str | None
    """Null where the table does not tell."""
    images: int | None
    patients: int | None
    """Also null where no patient is named."""
    query_recall: Counted | None
    """Of its images of a queried class, how many are called so."""
    retained_recall: Counted | None
    """Of its images of retained classes, how many are called rightly, over all classes together."""
    retained_recall_before: Counted | None
    """The same before the transfer."""
    false_alarms: Counted | None
    """Of its images of other classes, how many are called a queried one."""


class SubgroupColumn(Part):
    """All values of one column."""

    column: str
    values: list[Subgroup]
    suppressed: int
    """Of its values, how many have a figure that is not shown."""


class SmallestRecall(Part):
    """Where a recall is smallest among all that may be shown."""

    column: str
    value: str | None
    recall: Counted


class Subgroups(Part):
    """Figures by subgroup."""

    minimum: int
    """Figures of fewer units are not shown, nor such as would give them away by subtraction."""
    unit: Literal["images", "patients"]
    columns: list[SubgroupColumn]
    smallest_query_recall: SmallestRecall | None
    smallest_retained_recall: SmallestRecall | None


# --- net benefit, precision and recall

Origin = Literal["test images", "site"]


class NetBenefitPoint(Part):
    """What calling the class from a probability on is worth: hits less weighed false alarms, an image."""

    threshold: Share
    """One false alarm weighs ``threshold / (1 - threshold)`` hits."""
    model: float
    ci95: Interval
    """Of ``model``."""
    named: float
    """The same where the class is called whenever the model names it, whatever the probability."""
    named_ci95: Interval
    call_all: float
    call_none: float
    """Always 0."""


class NetBenefit(Part):
    """The decision curve of one queried class at one prevalence."""

    query: str
    prevalence: Share
    prevalence_from: Origin
    points: list[NetBenefitPoint]


class PrecisionRecall(Part):
    """The precision-recall curve of one queried class at one prevalence."""

    query: str
    prevalence: Share
    prevalence_from: Origin
    recall: list[Share]
    """From 1 down to 0."""
    precision: list[Share]
    average_precision: Share
    ci95: Interval
    """Of ``average_precision``."""


# --- the model in use


class InUse(Part):
    """The model that is in use now, on the same test images, and how the new one differs."""

    version: str
    weights_sha256: str
    classes: list[str]
    lacks: list[str]
    """Classes of the new model's list that it does not have: their images count as not recognised."""
    beyond: list[str]
    """Its classes that the new model does not have: such an answer counts as wrong, called 'other'."""
    images: int
    per_class: dict[str, Counted]
    """Recall by class."""
    query_recall: Share | None
    """Unweighted mean over the queried classes."""
    query_recall_ci95: Interval | None
    retained_recall: Share | None
    """Unweighted mean over the retained classes."""
    retained_recall_ci95: Interval | None
    false_alarms: Counted
    difference: dict[str, Difference]
    """New minus in use: of ``query_recall``, ``retained_recall`` and ``false_alarms``."""
    difference_by_class: dict[str, Difference]
    """New minus in use: recall of each class."""
