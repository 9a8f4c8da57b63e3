"""DPPL's public prototypes (Wahdany et al., AAAI 2025): each site picks one of many candidates, privately.

The exponential mechanism picks a candidate for the class, the more probably the more the patients' features
resemble it: pure epsilon-differential privacy, delta is zero. The class's mean is the mean of all picks.

At the source candidates are features of a public data set's images, and a class is told by cosine similarity
to its prototype. Ours, since hospitals share no public images that resemble theirs: candidates are drawn from
what the asker thinks likely (``axes.prior``), all sites' picks are averaged, and the head is our linear one
with the own network's say, as for private means.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from clinical_qkt.core.errors import QueryError
from clinical_qkt.query import axes
from clinical_qkt.query.aggregate import fitted, own_statistics
from clinical_qkt.research.methods.case import Case, Outcome
from clinical_qkt.research.methods.registry import method
from clinical_qkt.research.methods.requested import Requested, RequestSettings, requested
from clinical_qkt.statistics.class_statistics import ClassStatistics
from clinical_qkt.training.inference import Images


class Settings(RequestSettings):
    """
    Attributes:
        candidates: how many are drawn.
        alike: cosine similarity from which on a patient is counted in full; below zero not at all.
    """

    kind: Literal["private_mean"] = "private_mean"
    candidates: int = Field(default=4000, ge=2)
    alike: float = Field(default=0.5, gt=0, le=1)


@method("public_prototypes", family="candidates")
def run(case: Case, settings: Settings) -> Outcome:
    """Picks, averaged; a head in closed form."""
    question = requested(case, settings.depths, settings.views, settings.reference)
    generator = torch.Generator().manual_seed(case.seed)
    width = question.extractor.spec.features
    normal = torch.randn(settings.candidates, width, generator=generator, dtype=torch.float64)
    own = own_statistics(*question.training, len(case.local))
    public = normal * axes.prior(torch.stack([c.mean for c in own])).sqrt()
    queried = []
    for of_class in question.sites:
        if not of_class:
            raise QueryError("no site has images of a queried class", where="query")
        seen = [features[: settings.patients] for features in of_class.values()]
        picks = [public[picked(mine, public, settings, generator)] for mine in seen]
        queried.append(ClassStatistics(len(picks), torch.stack(picks).mean(0)))
    used = {site for of_class in question.sites for site in of_class}
    return _outcome(case, question, queried, settings, len(used))


def picked(features: Tensor, public: Tensor, settings: Settings, generator: torch.Generator) -> int:
    """The place of the candidate that a site picks, of ``(n, D)`` patients and ``(M, D)`` candidates.

    A patient adds 0 to 1 to each candidate's score and takes nothing from any: so the exponential mechanism
    needs no factor of two.
    """
    alike = F.normalize(features, dim=1) @ F.normalize(public, dim=1).T
    score = (alike / settings.alike).clamp(0, 1).sum(0)
    return int(torch.multinomial((settings.epsilon * score).softmax(0), 1, generator=generator))


def _outcome(
    case: Case, question: Requested, queried: list[ClassStatistics], settings: Settings, used: int
) -> Outcome:
    found = (question.training, question.validation)
    network = fitted(case.own, question.extractor, queried, *found, "linear", None, case.seed)[0].eval()

    @torch.no_grad()
    def predict(images: Images) -> Tensor:
        view = case.view(images, case.own.card.input)
        return network.said(*question.seen(images, view)).float()

    return Outcome(predict, used, 4 * used)
