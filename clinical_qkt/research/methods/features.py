"""The outcome of methods that end with a head on the extractor's features."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from clinical_qkt.data.folds import CLOSED_FORM, folds_of
from clinical_qkt.research.methods.case import Case, Outcome
from clinical_qkt.research.methods.requested import Requested
from clinical_qkt.training.inference import Images, labels_of

Score = Callable[[Tensor], Tensor]
"""From ``(N, D)`` features to ``(N, C)``, columns as in ``Case.labels``."""

FEWEST = 3
"""Images of a class: then two are left without a fold, which have a covariance."""


def of_features(
    case: Case, question: Requested, fit: Callable[[Tensor, Tensor], Score], used: int, received: int
) -> Outcome:
    """The outcome of a method that ends with something that looks at features.

    Args:
        fit: from ``(N, D)`` features of own training images and their labels to what scores features. Called
            once with all of them, and once more without each fold, for ``Outcome.cross_fitted``.
        used: sites that answered.
        received: bytes.
    """
    score = fit(*question.training)

    @torch.no_grad()
    def predict(images: Images) -> Tensor:
        return score(question.seen(images, images)[1].double()).float()

    return Outcome(predict, used, received, cross_fitted=_by_fold(case, question, fit))


@torch.no_grad()
def _by_fold(case: Case, question: Requested, fit: Callable[[Tensor, Tensor], Score]) -> Tensor | None:
    """``(N training images, C)``; None if nothing was held out from the own network, or there are too few."""
    features, labels = question.training
    if case.own_held_out is None or int(torch.bincount(labels).min()) < FEWEST:
        return None
    folds = folds_of(labels, count=CLOSED_FORM, seed=case.seed)
    if not folds.any():
        return None
    own = torch.isin(labels_of(case.training), torch.tensor(case.local))
    said = torch.zeros(len(labels), len(case.labels))
    for fold in np.unique(folds):
        mine, others = torch.from_numpy(folds == fold), torch.from_numpy(folds != fold)
        with torch.enable_grad():
            score = fit(features[others], labels[others])
        said[mine] = score(features[mine].double()).float()
    everything = torch.zeros(len(own), len(case.labels))
    everything[own] = said
    return everything
