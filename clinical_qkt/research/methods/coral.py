"""CORAL: correlation alignment (Sun, Feng and Saenko, AAAI 2016, arXiv 1511.05547).

The features of a site that answers are whitened by their own covariance and coloured by the student's; as at
the source 1 is added to every variance of both, which here is the spread within own classes. Means are
brought together, as the source's standardisation does. The head is that of ``statistics``.

Ours, since at the source both sides have the same classes and here a site has the queried class, too, and
others: both covariances are those of the classes that site and student share, every class counting equally.
A site that shares none is left out where another answers that does; else all images of both are taken, and
then the classes' differences count as one of looks.
"""

from __future__ import annotations

from pydantic import Field
from torch import Tensor

from clinical_qkt.research.methods import carried
from clinical_qkt.research.methods.carried import SiteFeatures, all_sites, answers_of, of_carried
from clinical_qkt.research.methods.case import Case, Outcome
from clinical_qkt.research.methods.registry import method
from clinical_qkt.research.methods.requested import requested
from clinical_qkt.research.methods.transport import Affine, recoloured, together
from clinical_qkt.statistics.class_statistics import class_statistics


class Settings(carried.Settings):
    """
    Attributes:
        ridge: added to every variance before whitening and colouring.
    """

    ridge: float = Field(default=1.0, gt=0)


@method("coral", family="statistics")
def run(case: Case, settings: Settings) -> Outcome:
    """Answers, whitened and coloured site by site; the head of ``statistics``."""
    question = requested(case, settings.depths, settings.views, settings.reference)
    sites = all_sites(case, question, settings.views)
    answers = answers_of(case, sites, settings)

    def carry(features: Tensor, labels: Tensor) -> carried.Answers:
        own = SiteFeatures(features, labels)
        known = carried.surest(
            answers, [n for n, site in sites.items() if site.classes(case.local, settings)]
        )
        heard = {name for given in known for name in given}
        return carried.carried(known, {n: onto(own, sites[n], case.local, settings) for n in heard})

    return of_carried(case, question, carry, settings)


def onto(own: SiteFeatures, site: SiteFeatures, local: list[int], settings: Settings) -> Affine:
    """From a site's features to the student's.

    Args:
        local: the student's own classes.
    """
    shared = site.classes(local, settings)
    if not shared:
        return recoloured(class_statistics(site.features), class_statistics(own.features), settings.ridge)
    theirs = together([class_statistics(x) for x in shared.values()])
    mine = together([class_statistics(own.features[own.columns == c]) for c in shared])
    return recoloured(theirs, mine, settings.ridge)
