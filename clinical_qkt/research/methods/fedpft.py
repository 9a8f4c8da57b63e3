"""FedPFT: parametric feature transfer (Beitollahi et al., arXiv 2402.01862).

Each site fits a Gaussian mixture to its own features of a class and hands over its parameters. Whoever
receives them draws as many features as the site had, and trains an ordinary linear head on all that was
drawn. The receiver is a site here, as in the source's decentralised case: its own classes it shows the head
in real features.

A mixture cannot be computed from means and covariances, so it is fitted to the features that only a
simulation has here, site by site, as each site would. The optimiser is that of ``gaussian_heads.replayed``,
so that the two differ in what is drawn alone. Features are those of the extractor with its map, which is to
the good of diagonal covariances: it makes own classes uncorrelated.

Left out: the source's private release, which is of one full Gaussian a class; ``kind: private_mean``, and
every other kind that tells less than a mixture does, is refused. And parameters in half precision: bytes are
counted in single precision, as for all methods of the family.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from pydantic import Field, field_validator
from sklearn.mixture import GaussianMixture
from torch import Tensor, nn
from torch.nn import functional as F

from clinical_qkt.core.errors import InputError
from clinical_qkt.research.methods.case import Case, Outcome
from clinical_qkt.research.methods.features import of_features
from clinical_qkt.research.methods.registry import method
from clinical_qkt.research.methods.requested import RequestSettings, requested
from clinical_qkt.statistics.class_statistics import Kind
from clinical_qkt.statistics.gaussian_heads import train_head

IMAGES_PER_COMPONENT = 10
"""Fewer leave nothing to estimate a component's spread from."""


class Settings(RequestSettings):
    """
    Attributes:
        components: of a site's mixture, fewer where it has few images.
        covariance: of a component.
        epochs, learning_rate: of the head.
    """

    components: int = Field(default=5, ge=1)
    covariance: Literal["full", "diag", "spherical"] = "diag"
    epochs: int = Field(default=30, ge=1)
    learning_rate: float = Field(default=3e-3, gt=0)

    @field_validator("kind")
    @classmethod
    def _whole(cls, kind: Kind) -> Kind:
        if kind != "covariance":
            raise InputError(
                f"'{kind}' tells less than a mixture does, and the source's private release is not here",
                where="method 'fedpft': kind",
                fix="leave 'kind' out, or take the method 'statistics' or 'prototypes'",
            )
        return kind


@method("fedpft", family="statistics")
def run(case: Case, settings: Settings) -> Outcome:
    """Mixtures of those sites that would answer, features drawn from them, a linear head."""
    question = requested(case, settings.depths, settings.views, settings.reference)
    answers = question.responses(settings, case.seed)
    drawn: list[Tensor] = []
    drawn_labels: list[Tensor] = []
    received, used = 0, set()
    for k, (of_class, given) in enumerate(zip(question.sites, answers, strict=True)):
        for number, site in enumerate(given):
            seen = of_class[site][: settings.patients]
            mixture = fitted_mixture(seen, settings, case.seed + number)  # or sites would draw alike
            drawn.append(torch.from_numpy(mixture.sample(len(seen))[0]))
            drawn_labels.append(torch.full((len(seen),), case.query[k]))
            parts = (mixture.weights_, mixture.means_, mixture.covariances_)
            received += 4 * sum(p.size for p in parts)
            used.add(site)

    def fit(features: Tensor, labels: Tensor) -> Callable[[Tensor], Tensor]:
        x, y = torch.cat([features, *drawn]).float(), torch.cat([labels, *drawn_labels])
        head = linear_head(x, y, len(case.labels), settings.epochs, settings.learning_rate, case.seed)
        return lambda seen: head(seen.float())

    return of_features(case, question, fit, len(used), received)


def linear_head(
    x: Tensor, y: Tensor, classes: int, epochs: int, learning_rate: float, seed: int
) -> nn.Linear:
    """A linear head, trained on ``(N, D)`` features and their labels."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = nn.Linear(x.shape[1], classes)
    train_head(
        head,
        lambda rows: F.cross_entropy(head(x[rows]), y[rows], label_smoothing=0.05),
        len(x),
        torch.Generator().manual_seed(seed),
        epochs,
        learning_rate,
    )
    return head


def fitted_mixture(features: Tensor, settings: Settings, seed: int) -> GaussianMixture:
    """A site's mixture of its own ``(N, D)`` features of one class."""
    components = max(1, min(settings.components, len(features) // IMAGES_PER_COMPONENT))
    mixture = GaussianMixture(components, covariance_type=settings.covariance, random_state=seed)
    return mixture.fit(features.double().numpy())
