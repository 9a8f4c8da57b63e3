"""QKT by statistics, with the product's own steps: ``statistics``, ``privacy`` and ``query``.

``private`` is this with ``kind: private_mean``.
"""

from __future__ import annotations

from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from clinical_qkt.networks.gaussian_classifier import GaussianClassifier
from clinical_qkt.query.aggregate import fitted, own_statistics
from clinical_qkt.query.by_fold import cross_fitted
from clinical_qkt.query.shrinkage import told
from clinical_qkt.research.methods.case import Case, Outcome
from clinical_qkt.research.methods.harmonised import Harmonise, responses
from clinical_qkt.research.methods.registry import method
from clinical_qkt.research.methods.requested import RequestSettings, requested, response_bytes
from clinical_qkt.statistics.class_statistics import ClassStatistics, PrivateSum
from clinical_qkt.statistics.gaussian_heads import Head
from clinical_qkt.training.inference import Images, labels_of

Looked = list[dict[str, Any]]


class Settings(RequestSettings):
    """
    Attributes:
        head, shrinkage: see ``qkt.settings.TransferSettings``.
        harmonise: what is done about images that look different, see ``harmonised``.
    """

    head: Head = "auto"
    shrinkage: float | None = Field(default=0.75, ge=0, le=1)
    harmonise: Harmonise = "both"


@method("statistics", family="ours")
def run(case: Case, settings: Settings) -> Outcome:
    """Answers, pooled; a head in closed form. The forgetting budget is spent by the caller."""
    network, answers, by_fold, looks = student(case, settings)
    question = requested(case, settings.depths, settings.views, settings.reference)

    @torch.no_grad()
    def predict(images: Images) -> Tensor:
        view = case.view(images, case.own.card.input)
        return network.eval().said(*question.seen(images, view)).float()

    used = {site for given in answers for site in given}
    received = response_bytes(answers) + sum(told["bytes"] for told in looks)
    return Outcome(predict, len(used), received, cross_fitted=by_fold, looks=looks)


def student(
    case: Case, settings: Settings
) -> tuple[GaussianClassifier, list[dict[str, ClassStatistics | PrivateSum]], Tensor | None, Looked]:
    """The new model, for each queried class the sites' answers that it was made of, it by fold, and looks."""
    question = requested(case, settings.depths, settings.views, settings.reference)
    found = responses(case, question, settings, settings.harmonise)
    answers = [{site: told.answer for site, told in given.items()} for given in found]
    looks = [{**told.row(), "bytes": told.bytes} for given in found for told in given.values()]
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
    if case.own_held_out is None:
        return network, answers, None, looks
    features, labels = question.training[0], labels_of(case.training)
    by_fold = cross_fitted(network, choice, queried, features, labels, case.own_held_out, case.seed)
    return network, answers, by_fold, looks
