"""The forgetting budget: how far the queried classes' biases may be raised, and what is promised of it.

No image of a queried class is needed. On held-out images of the site's own classes every answer "queried
class" is a false alarm. The biases of all queried classes are raised at one common rate of false alarms, as
long as it can be shown that retained recall stays within the budget.

*The promise:* on new images like these, the retained classes lose at most so many points of recall on
average, and none of them more than its own limit, at a stated confidence. *The rule:* an image that is lost
at one bias is lost at each larger one. So the biases are gone through from below, and the last ones are taken
before the upper confidence bound of the mean, or of one class, exceeds its limit. For a loss that can only
grow such a bound, image for image, is enough, without a correction for the many biases that are tried, nor
for the several limits (Bates et al., J ACM 2021, arXiv 2101.02703; Angelopoulos et al., arXiv 2110.01052:
fixed-sequence testing). The bounds are those of ``evidence.intervals``: exact for a class's lost and gained
images, put together by MOVER. tests/qkt/test_forgetting_promise.py draws held-out images and counts.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from clinical_qkt.evidence import intervals
from clinical_qkt.networks.spec import linear_head
from clinical_qkt.qkt.held_out import HeldOut
from clinical_qkt.qkt.settings import TransferSettings
from clinical_qkt.tasks.single_label import SINGLE_LABEL

State = Literal["shown", "estimated", "not kept"]
"""``shown``: both limits hold at the stated confidence. ``estimated``: there are too few images to show it
even if none of them were lost, so the estimates alone were kept within the limits. ``not kept``: learning the
class costs more before any of the budget could be spent, and the least costly biases were taken."""

STEPS = 400
"""How many rates of false alarms are tried, up to ``HIGHEST_RATE``."""
HIGHEST_RATE = 0.5
MOST_ODDS = 100.0
"""By what factor a queried class's odds may be raised: a bias is the logarithm of such a factor. Where images
of own classes lie far from the queried ones, much larger ones would seem to cost nothing; they gain nothing
either, and rest on how far tails reach that no held-out image shows."""
MOST_IMAGES = 1_000_000
"""Of a class, up to which it is looked how many would do."""


@dataclass(frozen=True)
class Promise:
    """What a site wants to be promised of new images of its own classes; in points of recall.

    Attributes:
        mean: what the retained classes may lose on average.
        worst: what a single one of them may lose.
        confidence: how sure it must be that neither loses more, between 0.5 and 1.
    """

    mean: float
    worst: float
    confidence: float

    @classmethod
    def of(cls, budget: float, settings: TransferSettings) -> Promise:
        """The promise that goes with a forgetting budget, in points."""
        return cls(budget, budget * settings.worst_factor, settings.confidence)

    @property
    def level(self) -> float:
        """Of two-sided intervals whose upper end is a bound at ``confidence``."""
        return 2 * self.confidence - 1

    def images_needed(self, classes: int) -> int:
        """Held-out images of each class with which it could be shown, were none of them lost.

        >>> Promise(mean=2, worst=5, confidence=0.75).images_needed(classes=3)
        40
        """
        return _images_needed(self, classes)

    def can_be_shown(self, images: Sequence[float]) -> bool:
        """Whether so many independent images of each class could show it, were none of them lost.

        >>> promise = Promise(mean=2, worst=5, confidence=0.75)
        >>> promise.can_be_shown([100, 100, 100]), promise.can_be_shown([100, 100, 5])
        (True, False)
        """
        if not images or min(images) < 1:
            return False
        none = [intervals.proportion(0, n, self.level) or [0.0, 1.0] for n in images]
        ends = [intervals.difference(0, 0, of, of, n) for of, n in zip(none, images, strict=True)]
        return self.holds(Loss.over([0.0] * len(ends), ends))

    def holds(self, loss: Loss, *, shown: bool = True) -> bool:
        """Whether both limits hold for what was found: their upper bounds, or the estimates alone."""
        mean, worst = (loss.mean_bound, loss.worst_bound) if shown else (loss.mean, loss.worst)
        return mean <= self.mean + 1e-4 and worst <= self.worst + 1e-4


@cache
def _images_needed(promise: Promise, classes: int) -> int:
    return bisect_left(range(MOST_IMAGES), True, key=lambda n: promise.can_be_shown([n] * classes))


@dataclass(frozen=True)
class Loss:
    """Recall lost on held-out images, in points; below zero where it was gained.

    Attributes:
        mean, mean_bound: over the classes; and what it is at most, at the promise's confidence.
        worst, worst_bound: of the class that loses most; the highest such bound of any class.
    """

    mean: float
    mean_bound: float
    worst: float
    worst_bound: float

    @classmethod
    def over(cls, lost: Sequence[float], ends: Sequence[intervals.Interval]) -> Loss:
        """Of each class's share that is lost, with its interval."""
        bound = intervals.mean(lost, ends)[1]
        highest = max(high for _, high in ends)
        return cls(100 * float(np.mean(lost)), 100 * bound, 100 * max(lost), 100 * highest)


@dataclass(frozen=True)
class BudgetFit:
    """What was found on held-out images.

    Attributes:
        bias: one value a queried class, to be added to its logits.
        false_alarms: share of the held-out images that are called a queried class.
        loss: against before the transfer, at these biases.
        state: what can be said of the promise.
        images, cross_fitted: held-out images of own classes, and how many of them are training images.
        fewest: the smallest number of independent images of a class.
        needed: how many of each class would do to show the promise, were none of them lost.
    """

    bias: list[float]
    false_alarms: float
    loss: Loss
    state: State
    images: int
    cross_fitted: int
    fewest: int
    needed: int

    @property
    def kept(self) -> bool:
        """Whether the limits hold on held-out images, shown or estimated."""
        return self.state != "not kept"


def fit_to_budget(held_out: HeldOut, query: Sequence[int], promise: Promise) -> BudgetFit:
    """The largest biases of the queried classes for which the promise holds, up to ``MOST_ODDS``.

    The one rule by which a forgetting budget is spent, at a site and for every method of a benchmark.

    Args:
        held_out: at least one image; the own classes are the columns that are not queried.
        query: the columns of the queried classes.

    >>> logits = torch.tensor([[4.0, 0.0, 0.0]] * 90 + [[0.0, 4.0, 1.0]] * 90 + [[0.0, 4.0, 3.0]] * 2)
    >>> labels = torch.tensor([0] * 90 + [1] * 92)
    >>> held_out = HeldOut(logits, labels, torch.ones(182, dtype=torch.bool))
    >>> fit = fit_to_budget(held_out, [2], Promise(mean=3, worst=8, confidence=0.75))
    >>> fit.state, [round(b, 2) for b in fit.bias], round(fit.loss.mean, 2), round(fit.loss.mean_bound, 2)
    ('shown', [3.0], 1.09, 2.36)
    """
    local = [c for c in range(held_out.logits.shape[1]) if c not in set(query)]
    columns = list(query)
    rates = [HIGHEST_RATE * step / STEPS for step in range(STEPS + 1)]
    biases = [bias.clamp_max(math.log(MOST_ODDS)) for bias in biases_at(held_out.logits, query, rates)]
    measured: dict[int, Loss] = {}

    def loss(step: int) -> Loss:
        if step not in measured:
            measured[step] = _lost(held_out, _raised(held_out.logits, columns, biases[step]), local, promise)
        return measured[step]

    sizes = _sizes(held_out, local)
    state: State = "shown" if promise.can_be_shown(sizes) else "estimated"
    # A loss only grows with the bias: the first step at which the promise does not hold ends the search.
    failing = bisect_left(
        range(STEPS + 1), True, key=lambda step: not promise.holds(loss(step), shown=state == "shown")
    )
    if failing == 0:
        state = "not kept"
        failing = bisect_right(range(STEPS + 1), loss(0).mean, key=lambda step: loss(step).mean)
    step = failing - 1
    raised = SINGLE_LABEL.decide(_raised(held_out.logits, columns, biases[step]))
    return BudgetFit(
        bias=biases[step].tolist(),
        false_alarms=float(torch.isin(raised, torch.tensor(columns)).float().mean()),
        loss=loss(step),
        state=state,
        images=len(held_out),
        cross_fitted=held_out.cross_fitted,
        fewest=int(min(sizes)),
        needed=promise.images_needed(len(sizes)),
    )


def biases_at(logits: Tensor, query: Sequence[int], rates: Sequence[float]) -> list[Tensor]:
    """The path of biases: with its value each queried class, alone, wins on such a share of the images.

    The logits are ``(N, C)``, of images of own classes.

    >>> logits = torch.tensor([[4.0, 0.0], [3.0, 0.0], [2.0, 0.0], [1.0, 0.0]])
    >>> [round(float(bias), 2) for bias in biases_at(logits, [1], [0.0, 0.5])]
    [1.0, 3.0]
    """
    local = [c for c in range(logits.shape[1]) if c not in set(query)]
    # How much must be added to a queried logit to make it win on an image.
    needed = logits[:, local].amax(1, keepdim=True) - logits[:, list(query)]
    return [_below_quantile(needed, rate) for rate in rates]


def _raised(logits: Tensor, columns: list[int], bias: Tensor) -> Tensor:
    raised = logits.clone()
    raised[:, columns] += bias
    return raised


def _below_quantile(needed: Tensor, rate: float) -> Tensor:
    """Per column a bias that the given share of images falls below, just short of the next image."""
    ordered = needed.sort(0).values
    at = min(int(rate * len(ordered)), len(ordered) - 1)
    return ordered[at] - 1e-4


def _lost(held_out: HeldOut, logits: Tensor, local: Sequence[int], promise: Promise) -> Loss:
    right = (SINGLE_LABEL.decide(logits) == held_out.labels).numpy()
    before, shares, ends = held_out.before.numpy(), [], []
    for mine in _of_classes(held_out, local):
        who = None if held_out.patients is None else held_out.patients[mine]
        shares.append(float(before[mine].mean() - right[mine].mean()))
        found = intervals.paired(before[mine], right[mine], who, promise.level)
        ends.append(found or [-1.0, 1.0])
    return Loss.over(shares, ends)


def _of_classes(held_out: HeldOut, local: Sequence[int]) -> list[NDArray[np.bool_]]:
    """For each class that occurs, which images are of it."""
    found = [(held_out.labels == c).numpy() for c in local]
    return [mine for mine in found if mine.any()]


def _sizes(held_out: HeldOut, local: Sequence[int]) -> list[float]:
    """Independent images of each class that occurs, none of which was lost: a patient counts about once."""
    found = []
    for mine in _of_classes(held_out, local):
        who = None if held_out.patients is None else held_out.patients[mine]
        found.append(intervals.effective_size(np.zeros(int(mine.sum()), dtype=bool), who))
    return found


def first_within_budget(fits: Iterable[BudgetFit]) -> int:
    """The first of several models that keeps the forgetting budget with no queried class turned down.

    A bias below zero turns a class down: then the budget is kept at the cost of its recall. If all need that,
    the model that needs it least, on average over the queried classes; if none keeps the budget, the last.

    Args:
        fits: of each model, at least one; those behind the first that will do are not asked for.

    Returns:
        Its position.

    >>> none = Loss(0.0, 0.0, 0.0, 0.0)
    >>> fits = [BudgetFit([bias], 0.0, none, "shown", 300, 200, 90, 40) for bias in (-2.0, -0.5, 1.0)]
    >>> first_within_budget(fits), first_within_budget(fits[:2])
    (2, 1)
    """
    best, chosen, position = -math.inf, None, 0
    for position, fit in enumerate(fits):
        raised = sum(fit.bias) / len(fit.bias)
        if fit.kept and raised >= 0:
            return position
        if fit.kept and raised > best:
            best, chosen = raised, position
    return position if chosen is None else chosen


def spend_budget(network: nn.Module, fit: BudgetFit, query: Sequence[int]) -> None:
    """Phase 2, its end: raise the queried classes' biases as far as the fit says; in place."""
    head = linear_head(network)
    with torch.no_grad():
        head.bias[list(query)] += torch.tensor(fit.bias, device=head.bias.device)
