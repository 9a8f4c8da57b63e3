"""Nearest class mean: FedNCM (Legate et al., NeurIPS 2023), or DPPL-Mean (AAAI 2025) with private means.

An image belongs to the class whose mean feature is nearest. Nothing but means is used, the student's own and
those of the sites. At the sources the features are a backbone's, as they are; that they vary by one within
own classes along every axis is a step of this project. So by default the map of the extractor is undone, and
each feature is standardised by the student's own training images; ``space: whitened`` keeps the map, with
which nearest mean comes close to linear discriminant analysis by the own classes' covariance.

Left out: FedNCM's fine-tuning of the whole network afterwards. DPPL-Mean's release is replaced by the one of
``privacy.mechanisms``, the same for all methods here: its noise is added in the mapped space and mapped
back with the mean. Ours: the temperature, which changes no decision before the forgetting budget is spent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from clinical_qkt.query.aggregate import own_statistics
from clinical_qkt.research.methods.case import Case, Outcome
from clinical_qkt.research.methods.features import of_features
from clinical_qkt.research.methods.registry import method
from clinical_qkt.research.methods.requested import Requested, RequestSettings, requested, response_bytes
from clinical_qkt.statistics.class_statistics import pooled

TEMPERATURES = torch.logspace(-2, 3, 31).tolist()

Metric = Literal["euclidean", "cosine"]


class Settings(RequestSettings):
    """
    Attributes:
        metric: minus half the squared distance, as a linear head made of means has it, or the cosine less 1.
        space: in which distances are taken.
        temperature: by which scores are divided; chosen on own validation images if None.
    """

    kind: Literal["mean", "private_mean"] = "mean"
    metric: Metric = "euclidean"
    space: Literal["standardised", "whitened"] = "standardised"
    temperature: float | None = Field(default=None, gt=0)


@method("prototypes", family="statistics")
def run(case: Case, settings: Settings) -> Outcome:
    """Own means and the sites', pooled; nothing is trained."""
    question = requested(case, settings.depths, settings.views, settings.reference)
    answers = question.responses(settings, case.seed)
    queried = [pooled(list(given.values())) for given in answers]

    def distances(features: Tensor, labels: Tensor) -> Callable[[Tensor], Tensor]:
        mine = replace(question, training=(features, labels))
        moved = standardised(mine) if settings.space == "standardised" else torch.Tensor.double
        own = own_statistics(features, labels, len(case.local))
        means = moved(torch.stack([c.mean for c in (*own, *queried)]))
        return lambda seen: scores(moved(seen), means, settings.metric)

    sure = settings.temperature or _temperature(distances(*question.training), question, len(case.local))

    def fit(features: Tensor, labels: Tensor) -> Callable[[Tensor], Tensor]:
        far = distances(features, labels)
        return lambda seen: far(seen) / sure

    used = {site for given in answers for site in given}
    return of_features(case, question, fit, len(used), response_bytes(answers))


def _temperature(score: Callable[[Tensor], Tensor], question: Requested, own: int) -> float:
    """By what scores are as sure as they are right, on own validation images."""
    features, labels = question.validation
    seen = score(features)[:, :own]
    return min(TEMPERATURES, key=lambda t: float(F.cross_entropy(seen / t, labels)))


def scores(features: Tensor, means: Tensor, metric: Metric) -> Tensor:
    """``(N, D)`` and ``(K, D)`` to ``(N, K)``: nowhere above zero, and zero at a mean."""
    if metric == "cosine":
        return F.normalize(features, dim=1) @ F.normalize(means, dim=1).T - 1
    return -(features[:, None] - means).square().sum(2) / 2


def standardised(question: Requested) -> Callable[[Tensor], Tensor]:
    """From features, ``(N, D)``, back to the pooled ones, standardised by own training images."""
    projection = question.extractor.projection.double()

    def centred(features: Tensor) -> Tensor:
        return torch.linalg.solve(projection, features.double(), left=False)

    own = centred(question.training[0])
    scale = own.std(0)
    # A channel that is silent on own images would else outweigh all others, as in ``request.whitening``.
    scale = scale.clamp_min(1e-3 * float(scale.median()) + 1e-12)
    return lambda features: (centred(features) - own.mean(0)) / scale
