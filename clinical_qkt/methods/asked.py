"""A query for statistics, answered in simulation: what every method of that family is given.

Only a simulation can compute the sites' features here; in the field each site computes its own and hands over
the statistics alone, see ``answering``. A method may look at ``Asked.sites`` only through statistics.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from clinical_qkt.asking import features_of, own_extractor
from clinical_qkt.errors import QueryError
from clinical_qkt.methods.case import Case
from clinical_qkt.packages.extractor import Extractor
from clinical_qkt.privacy import STEPS, Guarantee, private_release, rounded_noise, whole
from clinical_qkt.statistics import ClassStatistics, Kind, class_statistics
from clinical_qkt.targets import labels_of


class AskedSettings(BaseModel):
    """What is asked and answered; the same for all methods of the family.

    Attributes:
        kind: of the answers.
        depths: modules whose outputs are pooled; the network's first stages if None.
        epsilon, delta: of each private answer. Every image counts as a patient.
        patients: images that each site has of a queried class, at most; all if None.
        minimum_patients: fewer give no exact answer.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Kind = "covariance"
    depths: list[str] | None = None
    epsilon: float = Field(default=1.0, gt=0)
    delta: float = Field(default=1e-5, gt=0, lt=1)
    patients: int | None = Field(default=None, ge=2)
    minimum_patients: int = Field(default=20, ge=2)


@dataclass
class Asked:
    """Features of own images, and of the sites' images of the queried classes.

    Attributes:
        training, validation: ``(N, D)`` and labels.
        sites: for each queried class, ``{site: (N, D)}``.
    """

    extractor: Extractor
    radius: float
    training: tuple[Tensor, Tensor]
    validation: tuple[Tensor, Tensor]
    sites: list[dict[str, Tensor]]

    def answers(self, settings: AskedSettings, seed: int) -> list[dict[str, ClassStatistics]]:
        """For each queried class the sites' answers; who may not answer, or has too few, is left out.

        Raises:
            QueryError: nobody answers for a queried class.
        """
        generator = torch.Generator().manual_seed(seed)
        found: list[dict[str, ClassStatistics]] = []
        for of_class in self.sites:
            given: dict[str, ClassStatistics] = {}
            for site, features in of_class.items():
                part = self._answer(features[: settings.patients], settings, generator)
                if part is not None:
                    given[site] = part
            if not given:
                raise QueryError("no site has enough images of a queried class", where="query")
            found.append(given)
        return found

    def _answer(
        self, features: Tensor, settings: AskedSettings, generator: torch.Generator
    ) -> ClassStatistics | None:
        if settings.kind != "private_mean":
            if len(features) < settings.minimum_patients:
                return None
            return class_statistics(features).reduced(settings.kind)
        guarantee, mine = Guarantee(settings.epsilon, settings.delta), whole(features, self.radius, STEPS)
        noise = rounded_noise(lambda n: torch.randn(n, generator=generator, dtype=torch.float64))
        release = private_release(mine, guarantee, noise)
        return release.read(self.radius, guarantee).statistics(features.shape[1])


def asked(case: Case, depths: Sequence[str] | None) -> Asked:
    """Ask all sites for the case's query; computed once for all methods."""
    key = ("asked", *(depths or ()))
    if key not in case.kept:
        extractor, radius = own_extractor(case.own, depths, case.training, case.device)
        own = [item for item in case.training if int(item["label"]) in set(case.local)]
        names = [case.labels[q].name for q in case.query]
        sites: list[dict[str, Tensor]] = [{} for _ in names]
        for member in case.federation()[1:]:
            labels = member.model.card.labels
            for i, name in enumerate(names):
                mine = [item for item in member.training if int(item["label"]) == labels.find(name)]
                if mine:
                    seen = case.view(mine, case.own.card.input)
                    sites[i][member.model.card.site] = features_of(extractor, seen, case.device)
        case.kept[key] = Asked(
            extractor,
            radius,
            (features_of(extractor, own, case.device), labels_of(own)),
            (features_of(extractor, case.validation, case.device), labels_of(case.validation)),
            sites,
        )
    return case.kept[key]


def answer_bytes(answers: Sequence[dict[str, ClassStatistics]]) -> int:
    """What the student received, in single precision."""
    parts = [part for given in answers for part in given.values()]
    return sum(4 * (part.mean.numel() + _numbers(part.covariance)) for part in parts)


def _numbers(covariance: Tensor | None) -> int:
    return 0 if covariance is None else covariance.numel()
