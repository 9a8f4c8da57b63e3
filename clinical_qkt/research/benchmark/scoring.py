"""A row's figures: one rule spends the forgetting budget for every method, and test images judge it.

The oracle is that rule's path of biases with test images in the place of held-out ones: the most that any
rule could have reached with the method's model. It is used for this measurement alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor
from torchmetrics.functional.classification import multiclass_calibration_error

from clinical_qkt.qkt.forgetting_budget import Promise, biases_at, fit_to_budget
from clinical_qkt.qkt.held_out import HeldOut
from clinical_qkt.research.methods.case import Case
from clinical_qkt.tasks.single_label import SINGLE_LABEL
from clinical_qkt.training.inference import labels_of

RATES = [0.5 * (k / 24) ** 2 for k in range(25)]
"""Of false alarms, at which the trade of query recall against forgetting is told: closer where it matters."""

TRADE = ("forgetting_mean", "query_recall", "false_alarms")


class Estimates(Promise):
    """Limits that hold as soon as the estimates are within them: for images whose answers are known."""

    def can_be_shown(self, images: Sequence[float]) -> bool:
        """Nothing has to be shown of them."""
        return False


def score(
    case: Case,
    logits: dict[str, Tensor],
    test: list[dict[str, Any]],
    promise: Promise,
    cross_fitted: Tensor | None = None,
    compared: Tensor | None = None,
) -> dict[str, Any]:
    """A row's figures.

    Args:
        logits: of the method on ``validation`` and ``test``, of the own model on the same as
            ``own_validation`` and ``own_test``; columns as in ``case.labels``.
        test: the test images, ``{"image", "label"}``.
        promise: what the forgetting budget promises.
        cross_fitted, compared: see ``Outcome``.
    """
    truth = labels_of(test)
    fit = fit_to_budget(held_out(case, logits, cross_fitted, compared), case.query, promise)
    fitted = raised(logits["test"], case.query, fit.bias)
    ends = _told(case, logits["test"], logits["own_test"], truth)
    at_budget = _told(case, fitted, logits["own_test"], truth)
    probabilities = SINGLE_LABEL.probabilities(fitted)
    asked = [roc_auc_score(truth == q, probabilities[:, q]) for q in case.query]
    error = multiclass_calibration_error(probabilities, truth, num_classes=len(case.labels), n_bins=15)
    return {
        **ends,
        "query_recall_at_budget": at_budget["query_recall"],
        "false_alarms_at_budget": at_budget["false_alarms"],
        "forgetting_at_budget": at_budget["forgetting_mean"],
        "forgetting_worst_at_budget": at_budget["forgetting_worst"],
        "budget_kept": fit.kept,
        "budget_state": fit.state,
        "held_out_images": fit.images,
        "cross_fitted_images": fit.cross_fitted,
        "promised_mean_bound": fit.loss.mean_bound / 100,
        "promised_worst_bound": fit.loss.worst_bound / 100,
        "mean_kept_on_test": 100 * at_budget["forgetting_mean"] <= promise.mean + 1e-4,
        "worst_kept_on_test": 100 * at_budget["forgetting_worst"] <= promise.worst + 1e-4,
        **_best_possible(case, logits, truth, promise),
        "trade": trade(case, logits["test"], logits["own_test"], truth),
        "auroc": float(np.mean(asked)),
        "ece": float(error),
    }


def held_out(
    case: Case, logits: dict[str, Tensor], cross_fitted: Tensor | None, compared: Tensor | None = None
) -> HeldOut:
    """Validation images, and training images where models without them said what they show."""
    found = HeldOut.of(
        logits["validation"], logits["own_validation"][:, case.local], labels_of(case.validation), case.local
    )
    if cross_fitted is None or case.own_held_out is None:
        return found
    own = case.own_held_out if compared is None else compared
    return found + HeldOut.of(cross_fitted, own, labels_of(case.training), case.local, cross_fitted=True)


def raised(logits: Tensor, query: Sequence[int], bias: Tensor | list[float]) -> Tensor:
    """``(N, C)`` logits with biases added to the queried columns."""
    found = logits.clone()
    found[:, list(query)] += torch.as_tensor(bias)
    return found


def trade(case: Case, logits: Tensor, own: Tensor, truth: Tensor) -> list[list[float]]:
    """``[forgetting mean, query recall, false alarms]`` on test images, along the path of biases."""
    mine = torch.isin(truth, torch.tensor(case.local))
    found = []
    for bias in biases_at(logits[mine], case.query, RATES):
        at = _told(case, raised(logits, case.query, bias), own, truth)
        found.append([round(float(at[k]), 5) for k in TRADE])
    return found


def _best_possible(
    case: Case, logits: dict[str, Tensor], truth: Tensor, promise: Promise
) -> dict[str, float]:
    """With the biases of the oracle."""
    known = HeldOut.of(logits["test"], logits["own_test"][:, case.local], truth, case.local)
    best = fit_to_budget(known, case.query, Estimates(promise.mean, promise.worst, promise.confidence))
    at = _told(case, raised(logits["test"], case.query, best.bias), logits["own_test"], truth)
    return {"query_recall_at_oracle": at["query_recall"], "false_alarms_at_oracle": at["false_alarms"]}


def _told(case: Case, logits: Tensor, own: Tensor, truth: Tensor) -> dict[str, Any]:
    """Query recall, retained recall, false alarms and forgetting on test images; None without any."""
    before, after = (_recalls(said, truth, case.local) for said in (own, logits))
    lost = before - after
    lost = lost[~lost.isnan()]
    called = torch.isin(SINGLE_LABEL.decide(logits), torch.tensor(case.query))
    return {
        "query_recall": _known(_recalls(logits, truth, case.query).mean()),
        "false_alarms": _known(called[torch.isin(truth, torch.tensor(case.local))].float().mean()),
        "retained_recall": _known(after.mean()),
        "forgetting_mean": _known(lost.mean()),
        "forgetting_worst": float(lost.max()) if len(lost) else None,
    }


def _recalls(logits: Tensor, truth: Tensor, classes: Sequence[int]) -> Tensor:
    """Of each class, as a share; NaN for one that does not occur."""
    right = SINGLE_LABEL.decide(logits) == truth
    return torch.stack([mine.float().mean() for mine in SINGLE_LABEL.by_class(right, truth, classes)])


def _known(value: Tensor) -> float | None:
    return None if value.isnan() else float(value)
