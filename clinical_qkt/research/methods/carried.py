"""What methods have in common that carry sites' features into the student's look before its head is made.

The head is that of ``statistics``, so that such methods differ from it, and from each other, in how features
are carried alone. How they are carried may depend on own images: then it is found out anew without each fold.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from clinical_qkt.core.errors import QueryError
from clinical_qkt.data.folds import CLOSED_FORM, folds_of
from clinical_qkt.data.label_space import align
from clinical_qkt.networks.extractor import Extractor
from clinical_qkt.query.aggregate import fitted
from clinical_qkt.query.by_fold import cross_fitted
from clinical_qkt.research.methods.case import Case, Member, Outcome
from clinical_qkt.research.methods.requested import Requested, RequestSettings, Views, response_bytes
from clinical_qkt.research.methods.transport import Affine
from clinical_qkt.statistics.class_statistics import ClassStatistics, class_statistics, pooled
from clinical_qkt.statistics.gaussian_heads import Head
from clinical_qkt.training.inference import Images, labels_of


class Settings(RequestSettings):
    """A Gaussian is carried whole: only answers with a full covariance are asked for. Nothing private is,
    since how a site's features are carried depends on all its patients: a release of the mean would promise
    nothing.

    Attributes:
        head, shrinkage: see ``qkt.settings.TransferSettings``.
    """

    kind: Literal["covariance"] = "covariance"
    head: Head = "auto"
    shrinkage: float | None = Field(default=0.75, ge=0, le=1)


@dataclass(frozen=True)
class SiteFeatures:
    """All images of a site, in the student's feature space.

    Attributes:
        features: ``(N, D)`` float64.
        columns: ``(N,)`` of ``Case.labels``; -1 where the student neither has nor asks for the class.
    """

    features: Tensor
    columns: Tensor

    def classes(self, columns: Sequence[int], settings: RequestSettings) -> dict[int, Tensor]:
        """``(n, D)`` of each of those classes of which the site has enough images."""
        images = {c: self.features[self.columns == c][: settings.patients] for c in columns}
        return {c: x for c, x in images.items() if len(x) >= settings.minimum_patients}


Answers = list[dict[str, ClassStatistics]]
"""For each queried class, the sites' statistics."""
Carry = Callable[[Tensor, Tensor], Answers]
"""From own features ``(N, D)`` and their labels to the answers in the student's look."""


def seen_by(case: Case, member: Member, extractor: Extractor) -> SiteFeatures:
    """A site's images as an extractor sees them; each site would do so itself."""
    to = align(member.model.card.labels, case.labels)
    columns = torch.tensor([to.get(int(label), -1) for label in labels_of(member.training)])
    view = case.view(member.training, case.own.card.input)
    return SiteFeatures(case.numbers(extractor, view)[1].double(), columns)


def all_sites(case: Case, question: Requested, views: Views) -> dict[str, SiteFeatures]:
    """Of every site but the student, by name; computed once for all methods of a case."""
    key = ("all sites", views, *question.extractor.spec.depths)
    if key not in case.kept:
        members = case.federation()[1:]
        case.kept[key] = {m.model.card.site: seen_by(case, m, question.extractor) for m in members}
    found: dict[str, SiteFeatures] = case.kept[key]
    return found


def answers_of(case: Case, sites: Mapping[str, SiteFeatures], settings: Settings) -> Answers:
    """As the sites see the queried classes, not carried yet.

    Raises:
        QueryError: nobody answers for a queried class.
    """
    given = {name: site.classes(case.query, settings) for name, site in sites.items()}
    answers = [
        {name: class_statistics(found[q]) for name, found in given.items() if q in found} for q in case.query
    ]
    if not all(answers):
        raise QueryError("no site has enough images of a queried class", where="query")
    return answers


def carried(answers: Answers, maps: Mapping[str, Affine]) -> Answers:
    """Each site's answers by the site's map."""
    return [{site: maps[site].of(part) for site, part in given.items()} for given in answers]


def surest(answers: Answers, comparable: Container[str]) -> Answers:
    """Of each class the answers of sites that can be compared with the student; all, if none can."""
    return [{s: part for s, part in given.items() if s in comparable} or given for given in answers]


def of_carried(
    case: Case, question: Requested, carry: Carry, settings: Settings, more_bytes: int = 0
) -> Outcome:
    """The outcome of a method that ends with the head of ``statistics``.

    Args:
        carry: called once with all own training images, and once more without each fold of them.
        more_bytes: received beside the answers.
    """
    answers = carry(*question.training)
    network, choice = fitted(
        case.own,
        question.extractor,
        _pooled(answers),
        question.training,
        question.validation,
        settings.head,
        settings.shrinkage,
        case.seed,
    )

    @torch.no_grad()
    def predict(images: Images) -> Tensor:
        view = case.view(images, case.own.card.input)
        return network.eval().said(*question.seen(images, view)).float()

    def without(features: Tensor, labels: Tensor) -> Tensor | None:
        """``(N, C)`` by fold, of a head for answers that were carried to these images."""
        assert case.own_held_out is not None
        queried, about = _pooled(carry(features, labels)), (question.training[0], labels_of(case.training))
        return cross_fitted(network, choice, queried, *about, case.own_held_out, case.seed)

    used = {site for given in answers for site in given}
    received = response_bytes(answers) + more_bytes
    return Outcome(predict, len(used), received, cross_fitted=_by_fold(case, question, without))


def _pooled(answers: Answers) -> list[ClassStatistics]:
    return [pooled(list(given.values())) for given in answers]


def _by_fold(
    case: Case, question: Requested, without: Callable[[Tensor, Tensor], Tensor | None]
) -> Tensor | None:
    """Rows of each fold by a head that was made without it, of answers that were carried without it."""
    if case.own_held_out is None:
        return None
    features, labels = question.training
    folds = folds_of(labels, count=CLOSED_FORM, seed=case.seed)
    own = torch.isin(labels_of(case.training), torch.tensor(case.local)).numpy()
    found = torch.zeros(len(own), len(case.labels))
    for fold in np.unique(folds):
        others = torch.from_numpy(folds != fold)
        said = without(features[others], labels[others]) if others.any() else None
        if said is None:
            return None
        mine = torch.from_numpy(np.flatnonzero(own)[folds == fold])
        found[mine] = said[mine]
    return found
