"""GH-OFL: Gaussian heads from summed moments (Turazza et al., ICLR 2026, arXiv 2602.01186).

Counts, means and covariances of all classes, summed over sites, with shares of images as priors, give

* ``naive_bayes``: diagonal covariances; ``linear``: one covariance for all; ``quadratic``: one a class; the
  latter two shrunk towards their mean variance times the identity;
* ``fisher`` (FisherMix): a linear head with a cosine margin, trained on features drawn from the Gaussians
  within the Fisher subspace, in which classes differ most against what they vary;
* ``residual`` (Proto-Hyper): a head of low rank, added to the subspace's linear logits. On the drawn features
  it learns the labels, and distils from a blend of the subspace's quadratic and linear logits. Logits are
  brought to mean 0 and spread 1 over the classes, image by image, before they are added or distilled.

Numbers are those of the authors' published server, but for fewer drawn features in smaller batches, and the
margin, which the paper has and the code by default not. Their last code has another teacher: linear logits
blended with naive Bayes. All classes are treated alike: the student's network has no say beside its features.
Where a queried class has no covariance the shared one stands in, here the own classes'; the source always has
a global second moment. Left out: random projections of the features. Ours: closed-form scores are divided by
``gaussian_heads.chosen_temperature``, which changes no decision by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from clinical_qkt.query.aggregate import own_statistics
from clinical_qkt.research.methods.case import Case, Outcome
from clinical_qkt.research.methods.features import of_features
from clinical_qkt.research.methods.fisher import FisherMix, ProtoHyper, draws, shrunk, subspace
from clinical_qkt.research.methods.registry import method
from clinical_qkt.research.methods.requested import RequestSettings, requested, response_bytes
from clinical_qkt.statistics.class_statistics import ClassStatistics, pooled
from clinical_qkt.statistics.gaussian_heads import (
    Gaussians,
    chosen_temperature,
    shared_covariance,
    train_head,
)

Head = Literal["naive_bayes", "linear", "quadratic", "fisher", "residual"]
TrainedHead = FisherMix | ProtoHyper


class Settings(RequestSettings):
    """
    Attributes:
        shrinkage: of covariances, towards their mean variance times the identity.
        energy: share of what sets classes apart that the Fisher subspace keeps.
        draws, spread: features drawn for each class; by what their deviation from the mean is scaled.
        scale, margin: of the cosine head.
        rank: of the residual head; the subspace's dimension at most.
        blend: weight of the quadratic logits in the teacher.
        distillation, temperature: weight of the divergence from the teacher, against the labels.
    """

    head: Head = "linear"
    shrinkage: float = Field(default=0.05, gt=0, le=1)
    energy: float = Field(default=0.99, gt=0, le=1)
    draws: int = Field(default=2000, ge=1)
    spread: float = Field(default=0.75, gt=0)
    scale: float = Field(default=20.0, gt=0)
    margin: float = Field(default=0.05, ge=0)
    rank: int = Field(default=128, ge=1)
    blend: float = Field(default=0.5, ge=0, le=1)
    distillation: float = Field(default=0.85, ge=0, le=1)
    temperature: float = Field(default=4.0, gt=0)
    epochs: int = Field(default=60, ge=1)
    learning_rate: float = Field(default=1e-3, gt=0)


@method("gaussian_head", family="statistics")
def run(case: Case, settings: Settings) -> Outcome:
    """The moments of all classes, and one of the heads."""
    question = requested(case, settings.depths, settings.views, settings.reference)
    answers = question.responses(settings, case.seed)
    queried = [summed(list(given.values())) for given in answers]
    closed = settings.head not in ("fisher", "residual")

    def classes(features: Tensor, labels: Tensor) -> list[ClassStatistics]:
        return [*own_statistics(features, labels, len(case.local)), *queried]

    def gaussians(features: Tensor, labels: Tensor) -> Gaussians:
        return closed_form(classes(features, labels), settings.head, settings.shrinkage)

    sure = chosen_temperature(gaussians(*question.training), *question.validation) if closed else 1.0

    def fit(features: Tensor, labels: Tensor) -> Callable[[Tensor], Tensor]:
        if closed:
            density = gaussians(features, labels).log_density
            return lambda seen: density(seen) / sure
        basis, head = trained_head(classes(features, labels), settings, case.seed)
        return lambda seen: head(seen @ basis)

    used = {site for given in answers for site in given}
    return of_features(case, question, fit, len(used), response_bytes(answers))


def summed(parts: Sequence[ClassStatistics]) -> ClassStatistics:
    """As if the images lay together: unlike in ``pooled``, means that differ are a spread of the class."""
    whole = pooled(parts)
    if whole.covariance is None:
        return whole
    gap = torch.stack([p.mean for p in parts]) - whole.mean
    between = (gap * _shares(parts)[:, None]).T @ gap
    more = between if whole.covariance.ndim == 2 else between.diagonal()
    return replace(whole, covariance=whole.covariance + more)


def closed_form(classes: Sequence[ClassStatistics], head: Head, shrinkage: float) -> Gaussians:
    """Naive Bayes, the linear or the quadratic head: densities times priors."""
    if head == "naive_bayes":
        shared = shared_covariance(classes, ridge=0)
        own = [shared if c.covariance is None else c.covariance for c in classes]
        covariances = [torch.diag((v if v.ndim == 1 else v.diagonal()).clamp_min(1e-6)) for v in own]
    elif head == "linear":
        covariances = [shrunk(shared_covariance(classes, ridge=0), shrinkage)]
    else:
        covariances = [shrunk(c, shrinkage) for c in full(classes)]
    factor = torch.linalg.cholesky(torch.stack(covariances))
    log_volume = _shares(classes).log() - factor.diagonal(dim1=1, dim2=2).log().sum(1)
    return Gaussians(torch.stack([c.mean for c in classes]), torch.linalg.inv(factor).mT, log_volume)


def full(classes: Sequence[ClassStatistics]) -> list[Tensor]:
    """Each class's covariance, or the shared one where it is not there in full."""
    shared = shared_covariance(classes, ridge=0)
    return [c.covariance if c.covariance is not None and c.covariance.ndim == 2 else shared for c in classes]


def trained_head(classes: Sequence[ClassStatistics], s: Settings, seed: int) -> tuple[Tensor, TrainedHead]:
    """The subspace's basis, and FisherMix or Proto-Hyper within it, trained on drawn features alone."""
    within = shrunk(shared_covariance(classes, ridge=0), s.shrinkage)
    basis = subspace(torch.stack([c.mean for c in classes]), _shares(classes), within, s.energy)
    seen = [
        ClassStatistics(c.count, c.mean @ basis, basis.T @ shrunk(own, s.shrinkage) @ basis)
        for c, own in zip(classes, full(classes), strict=True)
    ]
    z, y = draws(seen, s.draws, s.spread, seed)
    gaussians = closed_form(seen, "linear", 0), closed_form(seen, "quadratic", 0)
    head: TrainedHead
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if s.head == "fisher":
            head = FisherMix(basis.shape[1], len(classes), s.scale, s.margin)
        else:
            head = ProtoHyper(*gaussians, s.blend, s.rank, s.distillation, s.temperature)

    def loss(rows: Tensor) -> Tensor:
        return head.loss(z[rows], y[rows])

    order = torch.Generator().manual_seed(seed)
    train_head(head, loss, len(z), order, s.epochs, s.learning_rate, batch_size=256, weight_decay=5e-4)
    return basis, head


def _shares(parts: Sequence[ClassStatistics]) -> Tensor:
    counts = torch.tensor([p.count for p in parts], dtype=torch.float64)
    return counts / counts.sum()
