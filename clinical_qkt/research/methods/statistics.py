"""QKT by statistics, with the product's own steps: ``statistics``, ``privacy`` and ``query``.

``private`` is this with ``kind: private_mean``.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from pydantic import Field
from torch import Tensor

from clinical_qkt.data.folds import CLOSED_FORM, folds_of
from clinical_qkt.networks.gaussian_classifier import GaussianClassifier
from clinical_qkt.query.aggregate import HeadChoice, cross_fitted, fitted, own_statistics
from clinical_qkt.query.shrinkage import told
from clinical_qkt.research.methods.case import Case, Outcome
from clinical_qkt.research.methods.registry import method
from clinical_qkt.research.methods.requested import Requested, RequestSettings, requested, response_bytes
from clinical_qkt.statistics.class_statistics import ClassStatistics, PrivateSum
from clinical_qkt.statistics.gaussian_heads import Head
from clinical_qkt.training.inference import Images


class Settings(RequestSettings):
    """
    Attributes:
        head, shrinkage: see ``qkt.settings.TransferSettings``.
    """

    head: Head = "auto"
    shrinkage: float | None = Field(default=0.75, ge=0, le=1)


@method("statistics", family="ours")
def run(case: Case, settings: Settings) -> Outcome:
    """Answers, pooled; a head in closed form. The forgetting budget is spent by the caller."""
    network, answers, by_fold = student(case, settings)
    question = requested(case, settings.depths, settings.views)

    @torch.no_grad()
    def predict(images: Images) -> Tensor:
        view = case.view(images, case.own.card.input)
        return network.eval().said(*question.seen(images, view, case.device)).float()

    used = {site for given in answers for site in given}
    return Outcome(predict, len(used), response_bytes(answers), cross_fitted=by_fold)


def student(
    case: Case, settings: Settings
) -> tuple[GaussianClassifier, list[dict[str, ClassStatistics | PrivateSum]], Tensor | None]:
    """The new model, for each queried class the sites' answers that it was made of, and it by fold."""
    question = requested(case, settings.depths, settings.views)
    answers = question.told(settings, case.seed)
    own = own_statistics(*question.training, len(case.local))
    queried = [told(list(given.values()), own) for given in answers]
    network, choice = fitted(
        case.own,
        question.extractor,
        queried,
        question.training,
        question.validation,
        settings.head,
        settings.shrinkage,
        case.seed,
    )
    return network, answers, _cross_fitted(case, network, choice, queried, question)


def _cross_fitted(
    case: Case,
    network: GaussianClassifier,
    choice: HeadChoice,
    queried: Sequence[ClassStatistics],
    question: Requested,
) -> Tensor | None:
    """``(N, C)`` of the case's training images; of queried classes zeros."""
    if case.own_held_out is None:
        return None
    labels = question.training[1]
    folds = folds_of(labels, count=CLOSED_FORM, seed=case.seed)
    own = torch.tensor([int(item["label"]) in set(case.local) for item in case.training])
    said = cross_fitted(network, choice, queried, question.training, case.own_held_out[own], folds)
    if said is None:
        return None
    everything = torch.zeros(len(own), said.shape[1])
    everything[own] = said
    return everything
