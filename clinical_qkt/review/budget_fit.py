"""How a transfer's forgetting budget was spent, as ``summary.json`` has it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from clinical_qkt.core.values import Written
from clinical_qkt.evidence.evaluation import Amount, Count, Share

Points = Annotated[float, Field(ge=-100, le=100, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
State = Literal["shown", "estimated", "not kept"]


class Promised(Written):
    """What is promised of new images of the classes known before."""

    mean: Amount
    """Points of recall that they lose at most, on average."""
    worst: Amount
    """Points that a single one of them loses at most."""
    confidence: Share
    """How sure it is that neither loses more, if the promise is shown."""


class HeldOutImages(Written):
    """The site's own images on which the promise was held against what is lost."""

    images: Count
    cross_fitted: Count
    """How many of them are training images, judged by models that were fitted without them."""
    fewest: Count
    """Of the class with fewest: how many independent images; those of one patient count about once."""
    needed: Count | None
    """How many of each class would do to show the promise, were none lost; null if no number would."""


class HeldOutLoss(Written):
    """Points of recall lost on held-out images; below 0 where it was gained."""

    mean: Points
    """Over the classes."""
    mean_bound: Points | None
    """What that is at most, at the promise's confidence."""
    worst: Points
    """Of the class that lost most."""
    worst_bound: Points | None
    """What any class lost at most, at the promise's confidence."""


class Fit(Written):
    """How the forgetting budget was spent: what was promised, and what held-out images showed."""

    bias: list[Finite] = Field(default=[])
    """Of each queried class, what was added to its logits."""
    false_alarms: Share | None = None
    """Of the held-out images, the share that is called a queried class."""
    state: State
    """``shown``: the promise holds at its confidence. ``estimated``: too few images to show it, the estimates
    keep it. ``not kept``: it holds at no bias, and the least costly one was taken."""
    loss: HeldOutLoss
    promise: Promised | None = None
    """Null where an earlier version spent the budget, which promised nothing."""
    held_out: HeldOutImages | None = None
    """Null where an earlier version spent the budget."""
