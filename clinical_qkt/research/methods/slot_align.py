"""SLOT-Align: distribution alignment by optimal transport (Berardini, Pastore and Murino, ICML 2026,
arXiv 2606.16655).

Every site tells mean and covariance of all its features, shrunk as Ledoit and Wolf do; the sites' Gaussians
have a barycentre in the sense of Bures and Wasserstein, weighted by numbers of images; and every site, the
student's among them, carries its features a share ``tau`` of the straight way of the optimal transport to it.
Numbers are those of the authors' published code (0.4 of the way). At the source the head that follows is any
of one-shot federated learning; here it is that of ``statistics``.

Instead of moving the student's features, with its own map, the sites' are brought back by that map: for a
head of Gaussians it comes to the same, and the student's network stays as it is.

``classes: shared`` is ours: the sites' Gaussians are compared class by class, on the classes that the
student has, so that which classes a site has is not taken for a look; the queried class is carried along by
the map of the classes that site and student share. A site that shares none is left out where another
answers that does; else all its images are carried to the student's. Left out: the source's schedules of
``tau`` while a head is trained, and its common PCA.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from pydantic import Field
from torch import Tensor

from clinical_qkt.research.methods import carried
from clinical_qkt.research.methods.carried import all_sites, answers_of, of_carried
from clinical_qkt.research.methods.case import Case, Outcome
from clinical_qkt.research.methods.registry import method
from clinical_qkt.research.methods.requested import requested
from clinical_qkt.research.methods.transport import (
    Affine,
    barycentre,
    optimal,
    shrunk_statistics,
    together,
)
from clinical_qkt.statistics.class_statistics import ClassStatistics

Of = dict[int, ClassStatistics]
"""A site's Gaussians by column."""


class Settings(carried.Settings):
    """
    Attributes:
        classes: whose Gaussians are carried: ``all`` of a site as one; ``shared``: class by class.
        tau: how far towards the barycentre; 1: all the way.
    """

    classes: Literal["all", "shared"] = "all"
    tau: float = Field(default=0.4, ge=0, le=1)


@method("slot_align", family="statistics")
def run(case: Case, settings: Settings) -> Outcome:
    """Answers, carried site by site; the head of ``statistics``."""
    question = requested(case, settings.depths, settings.views, settings.reference)
    sites = all_sites(case, question, settings.views)
    answers = answers_of(case, sites, settings)
    whole = {name: shrunk_statistics(site.features) for name, site in sites.items()}
    shared = {
        name: {c: shrunk_statistics(x) for c, x in site.classes(case.local, settings).items()}
        for name, site in sites.items()
    }

    def carry(features: Tensor, labels: Tensor) -> carried.Answers:
        own = shrunk_statistics(features)
        if settings.classes == "all":
            maps = to_barycentre(whole, own, settings.tau)
        else:
            mine = {c: shrunk_statistics(features[labels == c]) for c in case.local}
            maps = class_by_class(shared, mine, settings.tau)
        known = carried.surest(answers, maps)
        wholes = {name: optimal(whole[name], own) for given in known for name in given if name not in maps}
        return carried.carried(known, wholes | maps)

    told = list(whole.values()) if settings.classes == "all" else _flat(shared.values())
    width = question.training[0].shape[1]
    return of_carried(case, question, carry, settings, 4 * len(told) * (width + width**2))


def to_barycentre(
    sites: Mapping[str, ClassStatistics], own: ClassStatistics, tau: float
) -> dict[str, Affine]:
    """From each site's features to the student's, by way of the barycentre of all."""
    middle = barycentre([own, *sites.values()])
    back = optimal(own, middle).partly(tau).inverse
    return {name: optimal(site, middle).partly(tau).then(back) for name, site in sites.items()}


def class_by_class(sites: Mapping[str, Of], own: Of, tau: float) -> dict[str, Affine]:
    """The same by barycentres of each own class; without the sites that share none."""
    middle = {c: barycentre([mine, *(s[c] for s in sites.values() if c in s)]) for c, mine in own.items()}

    def way(of: Of) -> Affine:
        return optimal(together(list(of.values())), together([middle[c] for c in of])).partly(tau)

    back = way(own).inverse
    return {name: way(site).then(back) for name, site in sites.items() if site}


def _flat(sites: Iterable[Of]) -> list[ClassStatistics]:
    return [part for of in sites for part in of.values()]
