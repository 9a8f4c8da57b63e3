"""The forgetting budget: how far the queried classes' biases may be raised.

No image of a queried class is needed. On held-out images of the site's own classes every answer "queried
class" is a false alarm. The biases are raised, for all queried classes at one common rate of false alarms, as
long as retained recall stays within the budget.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from clinical_qkt.core.errors import PackageError
from clinical_qkt.networks.spec import linear_head
from clinical_qkt.packages.derived import DerivedModel
from clinical_qkt.qkt.settings import TransferSettings
from clinical_qkt.tasks.single_label import SINGLE_LABEL
from clinical_qkt.training.inference import Images, labels_of, logits_of


@dataclass(frozen=True)
class BudgetFit:
    """What was found on validation images.

    Attributes:
        bias: one value a queried class, to be added to its logits.
        false_alarms: share of own validation images that are called a queried class.
        spent: points of recall lost on them, against before the transfer: mean over the retained classes.
        worst: the same of the class that loses most.
        kept: whether both are within what may be lost.
    """

    bias: list[float]
    false_alarms: float
    spent: float
    worst: float
    kept: bool


def class_recalls(logits: Tensor, labels: Tensor, local: Sequence[int]) -> Tensor:
    """Recall of each local class, as a share; NaN for one that does not occur.

    >>> logits = torch.tensor([[2.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 2.0, 0.0]])
    >>> class_recalls(logits, torch.tensor([0, 0, 1]), local=[0, 1, 2]).tolist()
    [0.5, 1.0, nan]
    """
    right = SINGLE_LABEL.decide(logits) == labels
    return torch.stack([mine.float().mean() for mine in SINGLE_LABEL.by_class(right, labels, local)])


def retained_recall(logits: Tensor, labels: Tensor, local: Sequence[int]) -> float:
    """Macro-averaged recall over the local classes that occur, as a share.

    >>> logits = torch.tensor([[2.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 2.0, 0.0]])
    >>> retained_recall(logits, torch.tensor([0, 0, 1]), local=[0, 1, 2])
    0.75
    """
    return float(class_recalls(logits, labels, local).nanmean())


def fit_query_bias(
    logits: Tensor,
    labels: Tensor,
    query: Sequence[int],
    before: Tensor,
    budget: float,
    worst: float,
    *,
    steps: int = 400,
) -> BudgetFit:
    """The largest biases of the queried classes whose cost stays within the budget.

    A mean alone would let one class pay for all: a class that resembles the queried one could lose a fifth of
    its recall and the mean still be small. So the class that loses most has a limit of its own.

    Args:
        logits: ``(N, C)`` of the student after distillation, on its own validation images.
        labels: ``(N,)`` columns of their classes, none of them queried.
        query: the columns of the queried classes.
        before: recall of each local class on the same images before the transfer, see ``class_recalls``.
        budget: points that may be lost on average.
        worst: points that a single class may lose.
        steps: how many rates of false alarms are tried.

    Returns:
        The fit. If every rate costs more, the largest of those that cost least on average, not ``kept``.

    >>> logits = torch.tensor([[4.0, 0.0, 0.0], [3.0, 0.0, 0.0], [0.0, 4.0, 0.0], [0.0, 1.0, 0.0]])
    >>> fit = fit_query_bias(logits, torch.tensor([0, 0, 1, 1]), [2], torch.ones(2), budget=25, worst=50)
    >>> [round(bias, 3) for bias in fit.bias], fit.false_alarms, fit.spent, fit.worst, fit.kept
    ([3.0], 0.25, 25.0, 50.0, True)
    """
    local = [c for c in range(logits.shape[1]) if c not in set(query)]
    # How much must be added to a queried logit to make it win on an image.
    needed = logits[:, local].amax(1, keepdim=True) - logits[:, list(query)]
    fits = []
    for step in range(steps + 1):
        bias = _below_quantile(needed, 0.5 * step / steps)
        raised = logits.clone()
        raised[:, list(query)] += bias
        lost = 100 * (before - class_recalls(raised, labels, local))
        mean, most = float(lost.nanmean()), float(lost[~lost.isnan()].max())
        alarms = float(torch.isin(SINGLE_LABEL.decide(raised), torch.tensor(list(query))).float().mean())
        fits.append(
            BudgetFit(bias.tolist(), alarms, mean, most, mean <= budget + 1e-4 and most <= worst + 1e-4)
        )
    within = [fit for fit in fits if fit.kept]
    least = min(fit.spent for fit in fits)
    return (within or [fit for fit in fits if fit.spent == least])[-1]


def _below_quantile(needed: Tensor, rate: float) -> Tensor:
    """Per column a bias that the given share of images falls below, just short of the next image."""
    ordered = needed.sort(0).values
    at = min(int(rate * len(ordered)), len(ordered) - 1)
    return ordered[at] - 1e-4


def fit_to_budget(
    logits: Tensor,
    labels: Tensor,
    query: Sequence[int],
    before: Tensor,
    budget: float,
    reserve: float,
    worst_factor: float,
) -> BudgetFit:
    """The rule by which a forgetting budget is spent, at a site and in a benchmark; see ``fit_query_bias``.

    Args:
        reserve: the share that is not spent here, because other images will not behave exactly alike.
        worst_factor: a single class may lose this many times what is spent on average.

    Raises:
        PackageError: logits are NaN or infinite.

    >>> logits = torch.tensor([[4.0, 0.0, 0.0], [3.0, 0.0, 0.0], [0.0, 4.0, 0.0], [0.0, 1.0, 0.0]])
    >>> fit = fit_to_budget(logits, torch.tensor([0, 0, 1, 1]), [2], torch.ones(2), 40, 0.25, 2.0)
    >>> fit.spent, fit.worst  # of 30 points, 60 for a class
    (25.0, 50.0)
    """
    if not torch.isfinite(logits).all():
        raise PackageError(
            "gives NaN or infinity on this site's images",
            where="the model that was gained",
            fix="take packages out of 'teachers' one at a time, and tell the sending site",
        )
    spend = budget * (1 - reserve)
    return fit_query_bias(logits, labels, query, before, spend, spend * worst_factor)


def fit_budget(
    network: nn.Module,
    validation: Images,
    query: Sequence[int],
    before: Tensor,
    budget: float,
    settings: TransferSettings,
    device: torch.device,
) -> BudgetFit:
    """How far the forgetting budget lets the queried classes' biases be raised; nothing is changed.

    Args:
        before: recall of each local class on ``validation`` before, see ``class_recalls``.
        budget: points of retained recall that the site is willing to lose.

    Raises:
        PackageError: the network gives NaN or infinity.
    """
    logits = logits_of(network, validation, device, what="validation images")
    return fit_to_budget(
        logits, labels_of(validation), query, before, budget, settings.reserve, settings.worst_factor
    )


def first_within_budget(
    models: Iterable[DerivedModel], fitted: Callable[[nn.Module], BudgetFit]
) -> DerivedModel:
    """The first of several models that keeps the forgetting budget with no queried class turned down.

    A bias below zero turns a class down: then the budget is kept at the cost of its recall. If all need that,
    the model that needs it least, on average over the queried classes; if none keeps the budget, the last.

    Args:
        models: at least one.
        fitted: ``fit_budget`` of a network, everything else given.
    """
    best = -math.inf
    for model in models:
        fit = fitted(model.network)
        raised = sum(fit.bias) / len(fit.bias)
        if fit.kept and raised >= 0:
            return model
        if fit.kept and raised > best:
            best, chosen = raised, model
    return model if best == -math.inf else chosen


def spend_budget(
    network: nn.Module,
    validation: Images,
    query: Sequence[int],
    before: Tensor,
    budget: float,
    settings: TransferSettings,
    device: torch.device,
) -> BudgetFit:
    """Phase 2, its end: raise the queried classes' biases as far as ``fit_budget`` says; in place."""
    fit = fit_budget(network, validation, query, before, budget, settings, device)
    head = linear_head(network)
    with torch.no_grad():
        head.bias[list(query)] += torch.tensor(fit.bias, device=head.bias.device)
    return fit
