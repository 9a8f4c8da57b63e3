"""A query for statistics, answered in simulation: what every method of that family is given.

Only a simulation can compute the sites' features here; in the field each site computes its own and hands over
the statistics alone, see ``query.response``. A method may look at ``Requested.sites`` through these alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from clinical_qkt.core.errors import QueryError
from clinical_qkt.core.values import Strict
from clinical_qkt.networks.extractor import Extractor
from clinical_qkt.privacy.mechanisms import STEPS, Guarantee, private_release, rounded_noise, whole
from clinical_qkt.query.request import own_extractor, radius_of
from clinical_qkt.research.methods.case import Case
from clinical_qkt.statistics.class_statistics import (
    ClassStatistics,
    Kind,
    PrivateSum,
    class_statistics,
)
from clinical_qkt.training.inference import Images, labels_of

Views = Literal["all", "one"]


class RequestSettings(Strict):
    """What is asked and answered; the same for all methods of the family.

    Attributes:
        kind: of the answers.
        depths: modules whose outputs are pooled; the network's first stages if None.
        views: ``all``: features on average over an image's mirrored and turned views; ``one``: of the image.
        private_axes: of so many features, the first, private responses are made; of all if None.
        epsilon, delta: of each private response. Every image counts as a patient.
        patients: images that each site has of a queried class, at most; all if None.
        minimum_patients: fewer give no exact response.
        reference: whether map and radius are another site's, as in answers to a reference; see
            ``query.published``.
    """

    kind: Kind = "covariance"
    depths: list[str] | None = None
    views: Views = "all"
    private_axes: int | None = Field(default=None, ge=1)
    epsilon: float = Field(default=1.0, gt=0)
    delta: float = Field(default=1e-5, gt=0, lt=1)
    patients: int | None = Field(default=None, ge=2)
    minimum_patients: int = Field(default=20, ge=2)
    reference: bool = Field(default=False, exclude_if=lambda it_is: not it_is)  # rows keep their names


@dataclass
class Requested:
    """Features of own images, and of the sites' images of the queried classes.

    Attributes:
        training, validation: ``(N, D)`` and labels.
        sites: for each queried class, ``{site: (N, D)}``.
        outputs: what ``seen`` has computed.
    """

    extractor: Extractor
    training: tuple[Tensor, Tensor]
    validation: tuple[Tensor, Tensor]
    sites: list[dict[str, Tensor]]
    case: Case | None = field(default=None, repr=False)
    outputs: dict[int, tuple[Images, tuple[Tensor, Tensor]]] = field(default_factory=dict, repr=False)

    @property
    def radius(self) -> float:
        """At which private responses of all axes clip."""
        return self.clip(None)

    def responses(self, settings: RequestSettings, seed: int) -> list[dict[str, ClassStatistics]]:
        """The sites' answers as statistics: of a private one the noised sum over the noised count."""
        return [
            {
                site: part.statistics(self.extractor.spec.features) if isinstance(part, PrivateSum) else part
                for site, part in given.items()
            }
            for given in self.told(settings, seed)
        ]

    def told(self, settings: RequestSettings, seed: int) -> list[dict[str, ClassStatistics | PrivateSum]]:
        """For each queried class the sites' answers; who may not answer, or has too few, is left out.

        Raises:
            QueryError: nobody answers for a queried class.
        """
        generator = torch.Generator().manual_seed(seed)
        found: list[dict[str, ClassStatistics | PrivateSum]] = []
        for of_class in self.sites:
            given: dict[str, ClassStatistics | PrivateSum] = {}
            for site, features in of_class.items():
                part = self._response(features[: settings.patients], settings, generator)
                if part is not None:
                    given[site] = part
            if not given:
                raise QueryError("no site has enough images of a queried class", where="query")
            found.append(given)
        return found

    def _response(
        self, features: Tensor, settings: RequestSettings, generator: torch.Generator
    ) -> ClassStatistics | PrivateSum | None:
        if settings.kind != "private_mean":
            if len(features) < settings.minimum_patients:
                return None
            return class_statistics(features).reduced(settings.kind)
        guarantee = Guarantee(settings.epsilon, settings.delta)
        radius = self.clip(settings.private_axes)
        mine = whole(features[:, : settings.private_axes], radius, STEPS)
        noise = rounded_noise(lambda n: torch.randn(n, generator=generator, dtype=torch.float64))
        release = private_release(mine, guarantee, noise)
        return release.read(radius, guarantee)

    def clip(self, private_axes: int | None) -> float:
        """The radius at which private responses of so many axes clip."""
        return radius_of(self.training[0][:, :private_axes])

    def seen(self, images: Images, view: Images) -> tuple[Tensor, Tensor]:
        """Of a list of images logits ``(N, own)`` and features ``(N, D)``, in single precision.

        Args:
            images: the list by which they are known again.
            view: the same as the student's own model takes them.
        """
        key = id(images)
        if key not in self.outputs:
            spec, network = self.extractor.spec, self.extractor.network
            single = Extractor(spec, network).eval()
            single.center, single.projection = (
                self.extractor.center.float(),
                self.extractor.projection.float(),
            )
            assert self.case
            self.outputs[key] = (images, self.case.numbers(single, view))
        return self.outputs[key][1]


def requested(
    case: Case, depths: Sequence[str] | None, views: Views = "all", reference: bool = False
) -> Requested:
    """Ask all sites for the case's query; computed once for all methods.

    Args:
        views, reference: see ``RequestSettings``.
    """
    key = ("requested", views, reference, *(depths or ()))
    if key not in case.kept:
        extractor = _extractor(case, depths, views, reference)
        own = [item for item in case.training if int(item["label"]) in set(case.local)]
        asked = [case.labels[q].plain for q in case.query]
        sites: list[dict[str, Tensor]] = [{} for _ in asked]
        for member in case.federation()[1:]:
            for i, label in enumerate(asked):
                places = member.labels.places(label)
                mine = [item for item in member.training if int(item["label"]) in places]
                if mine:
                    seen = case.view(mine, case.own.card.input)
                    sites[i][member.model.card.site] = case.numbers(extractor, seen)[1].double()
        case.kept[key] = Requested(
            extractor,
            (case.numbers(extractor, own)[1].double(), labels_of(own)),
            (case.numbers(extractor, case.validation)[1].double(), labels_of(case.validation)),
            sites,
            case,
        )
    return case.kept[key]


def _extractor(case: Case, depths: Sequence[str] | None, views: Views, reference: bool) -> Extractor:
    """The student's network with a map of its own images, or of the next site's."""
    images: Images = case.training
    if reference:
        images = case.view(case.federation()[1].training, case.own.card.input)
    mirror_axes = list(range(len(case.own.card.input.spatial_size))) if views == "all" else []
    known = case.known
    if known is None:
        return own_extractor(case.own, depths, images, case.device, mirror_axes)[0]

    def made() -> Extractor:
        pooled = partial(known.pooled, items=images)
        return own_extractor(case.own, depths, images, case.device, mirror_axes, known=pooled)[0]

    return known.mapped(made, case.own.network, (depths, mirror_axes), images)


def response_bytes(answers: Sequence[Mapping[str, ClassStatistics | PrivateSum]]) -> int:
    """What the student received, numbers in single precision or whole."""
    return sum(4 * _numbers(part) for given in answers for part in given.values())


def _numbers(part: ClassStatistics | PrivateSum) -> int:
    if isinstance(part, PrivateSum):
        return part.total.numel()
    return part.mean.numel() + (0 if part.covariance is None else part.covariance.numel())
