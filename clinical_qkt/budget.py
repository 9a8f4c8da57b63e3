"""The forgetting budget: how far the queried classes' biases may be raised.

No image of a queried class is needed. On held-out images of the site's own classes every answer "queried
class" is a false alarm. The biases are raised, for all queried classes at one common rate of false alarms, as
long as retained recall stays within the budget.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class BudgetFit:
    """What was found on validation images.

    Attributes:
        bias: one value a queried class, to be added to its logits.
        false_alarms: share of own validation images that are called a queried class.
        spent: points of retained recall lost on them, against before the transfer.
        kept: whether that is within the budget.
    """

    bias: list[float]
    false_alarms: float
    spent: float
    kept: bool


def retained_recall(logits: Tensor, labels: Tensor, local: Sequence[int]) -> float:
    """Macro-averaged recall over the local classes that occur, as a share."""
    predicted = logits.argmax(1)
    hits = [(predicted[labels == c] == c).float().mean() for c in local if (labels == c).any()]
    return float(torch.stack(hits).mean())


def fit_query_bias(
    logits: Tensor,
    labels: Tensor,
    query: Sequence[int],
    recall_before: float,
    budget: float,
    *,
    steps: int = 400,
) -> BudgetFit:
    """The largest biases of the queried classes whose cost stays within the budget.

    Args:
        logits: ``(N, C)`` of the student after distillation, on its own validation images.
        labels: ``(N,)`` columns of their classes, none of them queried.
        query: the columns of the queried classes.
        recall_before: retained recall on the same images before the transfer, as a share.
        budget: points that may be lost.
        steps: how many rates of false alarms are tried.

    Returns:
        The fit. If every rate costs more than the budget, the largest of those that cost least, not ``kept``.
    """
    local = [c for c in range(logits.shape[1]) if c not in set(query)]
    # How much must be added to a queried logit to make it win on an image.
    needed = logits[:, local].amax(1, keepdim=True) - logits[:, list(query)]
    fits = []
    for step in range(steps + 1):
        bias = _below_quantile(needed, 0.5 * step / steps)
        raised = logits.clone()
        raised[:, list(query)] += bias
        spent = 100 * (recall_before - retained_recall(raised, labels, local))
        alarms = float(torch.isin(raised.argmax(1), torch.tensor(list(query))).float().mean())
        fits.append(BudgetFit(bias.tolist(), alarms, spent, spent <= budget + 1e-9))
    within = [fit for fit in fits if fit.kept]
    least = min(fit.spent for fit in fits)
    return (within or [fit for fit in fits if fit.spent == least])[-1]


def _below_quantile(needed: Tensor, rate: float) -> Tensor:
    """Per column a bias that the given share of images falls below, just short of the next image."""
    ordered = needed.sort(0).values
    at = min(int(rate * len(ordered)), len(ordered) - 1)
    return ordered[at] - 1e-4
