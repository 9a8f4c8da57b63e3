"""GGEUR: features drawn by shapes that all sites share (Ma et al., CVPR 2025, arXiv 2503.06457).

A class's shape is the covariance of its features over all sites, summed as if the images lay together. The
source takes it to be the same everywhere, while the class's place differs from look to look. So each site
draws from Gaussians of that shape: about some of its own features, and about the prototypes, which are means,
of the sites that look different; and trains a linear head on all that and on its own features.

Numbers are those of the authors' published code for looks and class shares that both differ: 50 features
about own ones and 50 about each prototype. The optimiser is that of ``fedpft``, so that the two differ in
what is drawn alone.

Ours, since one site asks here: the student trains its head alone, without rounds of averaging; for the
queried classes it has prototypes only. Left out: the code's enlargement of ten eigenvalues, which by its
order are the smallest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from clinical_qkt.core.errors import QueryError
from clinical_qkt.research.methods.carried import all_sites
from clinical_qkt.research.methods.case import Case, Outcome
from clinical_qkt.research.methods.features import of_features
from clinical_qkt.research.methods.fedpft import linear_head
from clinical_qkt.research.methods.gaussian_head import summed
from clinical_qkt.research.methods.registry import method
from clinical_qkt.research.methods.requested import RequestSettings, requested, response_bytes
from clinical_qkt.statistics.class_statistics import ClassStatistics, class_statistics

JITTER = 1e-6
"""Added to variances before features are drawn, as in the authors' code."""


class Settings(RequestSettings):
    """
    Attributes:
        own_draws: features drawn about own features of a class.
        draws: features drawn about the prototype of each other site.
        epochs, learning_rate: of the head.
    """

    kind: Literal["covariance"] = "covariance"
    own_draws: int = Field(default=50, ge=0)
    draws: int = Field(default=50, ge=1)
    epochs: int = Field(default=30, ge=1)
    learning_rate: float = Field(default=3e-3, gt=0)


Told = dict[str, ClassStatistics]
"""By site."""


@method("ggeur", family="statistics")
def run(case: Case, settings: Settings) -> Outcome:
    """Shapes of all sites, features drawn by them, a linear head.

    Raises:
        QueryError: nobody answers for a queried class.
    """
    question = requested(case, settings.depths, settings.views, settings.reference)
    told: dict[int, Told] = {c: {} for c in range(len(case.labels))}
    for name, site in all_sites(case, question, settings.views).items():
        for c, features in site.classes(list(told), settings).items():
            told[c][name] = class_statistics(features)
    if not all(told[q] for q in case.query):
        raise QueryError("no site has enough images of a queried class", where="query")

    def fit(features: Tensor, labels: Tensor) -> Callable[[Tensor], Tensor]:
        x, y = around(features, labels, told, settings, case.seed)
        head = linear_head(x.float(), y, len(case.labels), settings.epochs, settings.learning_rate, case.seed)
        return lambda seen: head(seen.float())

    used = {site for q in case.query for site in told[q]}
    return of_features(case, question, fit, len(used), response_bytes(list(told.values())))


def around(
    features: Tensor, labels: Tensor, told: Mapping[int, Told], settings: Settings, seed: int
) -> tuple[Tensor, Tensor]:
    """Own features, and those that were drawn by the classes' shapes; with their labels.

    Args:
        features, labels: ``(N, D)`` and ``(N,)`` of own training images.
        told: of each class the other sites' statistics.
    """
    generator = torch.Generator().manual_seed(seed)
    found, columns = [features.double()], [labels]
    for column, sites in told.items():
        mine = features[labels == column].double()
        own = [class_statistics(mine)] if len(mine) > 1 else []
        centres = [p.mean.expand(settings.draws, -1) for p in sites.values()]
        if own:
            centres.append(mine[torch.randint(len(mine), (settings.own_draws,), generator=generator)])
        if centres:
            places = torch.cat(centres)
            found.append(places + _drawn(summed([*own, *sites.values()]), len(places), generator))
            columns.append(torch.full((len(places),), column))
    return torch.cat(found), torch.cat(columns)


def _drawn(shape: ClassStatistics, count: int, generator: torch.Generator) -> Tensor:
    """``(count, D)`` about zero."""
    assert shape.covariance is not None
    values, vectors = torch.linalg.eigh(shape.covariance)
    noise = torch.randn(count, len(values), dtype=torch.float64, generator=generator)
    return noise * (values.clamp_min(0) + JITTER).sqrt() @ vectors.T
