"""Answers to a reference: class statistics that sites published for whoever works with the same extractor.

Nobody has to be asked: what a site published once serves every student whose network gives the features of
the reference, as networks do whose early stages are the same pretrained ones. Exact statistics are brought
from the reference's map into the student's own, and are then what the student would have been told had it
asked; private ones were noised along the reference's axes, and the student works along these.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from clinical_qkt.core.errors import InputError
from clinical_qkt.data.label_space import Alignment, ClassLabel, LabelSpace
from clinical_qkt.data.probes import probes
from clinical_qkt.networks.extractor import Extractor
from clinical_qkt.packages.model import Model
from clinical_qkt.packages.query import Query, load_query
from clinical_qkt.packages.response import ClassResponse, Response, load_response, once_each
from clinical_qkt.packages.signing import Trust
from clinical_qkt.query.aggregate import Responses
from clinical_qkt.query.request import QuerySettings, own_question
from clinical_qkt.statistics.class_statistics import ClassStatistics, PrivateSum, added_up, united
from clinical_qkt.training.inference import Images

PROBES = 8
"""Noise images on which a student's features are compared with the reference's."""
NEAR = 1e-3
"""By what share of their size features may differ: other processors round in another way."""
NOT_PUBLISHED = "this site published no such class"
OF_SEVERAL_KINDS = "this site published its parts in several kinds of answers, which cannot be put together"
MOST = 300
"""Letters of a reason."""


def read_published(
    folders: Sequence[Path], reference: Path, own: Model, query: LabelSpace, trust: Trust | None = None
) -> Responses:
    """Verify what sites published for a reference, and pick the queried classes.

    Args:
        folders: response packages to the reference.
        reference: its folder.
        query: the queried classes, with what the site declares of them.
        trust: whose signatures count; None: none is asked for.

    Raises:
        PackageError: a package is refused, or two come from the same site.
        InputError: the folder holds no reference, or the own network gives other features than it.
    """
    sent = load_query(reference, trust)
    if not sent.card.reference:
        raise InputError(
            "is a query for named classes, and no reference",
            where=f"reference_dir: {reference}",
            fix="name the folder of the reference that the sites answered; answers to the own query belong "
            "under 'responses'",
        )
    require_same_features(own, sent, reference)
    parts = once_each(folders, lambda folder: load_response(folder, sent, trust))
    extractor = Extractor(sent.card.extractor, own.network).double_map()
    extractor.center, extractor.projection = sent.extractor.center, sent.extractor.projection
    chosen = [_of_queried(part, query) for part in parts]
    return Responses(extractor.eval(), query, chosen, sent.for_classes(query.plain))


@torch.no_grad()
def require_same_features(own: Model, reference: Query, where: Path) -> None:
    """Refuse a reference whose features the own network does not give, on images prepared in its own way.

    Raises:
        InputError: see above.
    """
    given, wanted = own.card.input.plain, reference.card.input.plain
    same = own.card.network == reference.card.extractor.network and given == wanted
    if same:
        shape = given.channels, given.spatial_size, *given.value_range
        noise = next(iter(probes(PROBES, *shape, seed=0, at_once=PROBES)))
        told = reference.extractor.eval().pooled(noise)[1]
        mine = Extractor(reference.card.extractor, own.network).eval().pooled(noise)[1]
        same = float((mine - told).norm()) <= NEAR * float(told.norm())
    if not same:
        raise InputError(
            "has features of another network than this site's, or of images that are prepared in another way",
            where=f"reference_dir: {where}",
            fix="train the own model from the same pretrained weights with 'trained_layers: head', as the "
            "reference's site did; or ask the sites with a query of your own",
        )


def in_own_map(responses: Responses, own: Model, training: Images, device: torch.device) -> Responses:
    """Exact statistics in the map that the student would have asked with; private ones as they are.

    A diagonal of a covariance cannot be brought into other axes: where one was given, the reference's stay.

    Args:
        training: own images with labels.
    """
    given = [part for response in responses.parts for part in response.given.values()]
    whole = responses.extractor.spec.features == responses.extractor.spec.pooled
    if not whole or not all(isinstance(p, ClassStatistics) and p.kind in MAPPED for p in given):
        return responses
    spec = responses.extractor.spec
    settings = QuerySettings(depths=spec.depths, mirror_axes=spec.mirror_axes)
    mine = own_question(own, settings, training, device).extractor
    turned = torch.linalg.solve(responses.extractor.projection, mine.projection)
    moved = (responses.extractor.center - mine.center) @ mine.projection
    parts = [
        replace(part, given={i: _mapped(told, turned, moved) for i, told in part.given.items()})
        for part in responses.parts
    ]
    return replace(responses, extractor=mine, parts=parts)


MAPPED = ("covariance", "mean")
"""Kinds of exact statistics that can be brought into other axes."""


def _mapped(told: ClassStatistics | PrivateSum, turned: Tensor, moved: Tensor) -> ClassStatistics:
    """Of statistics along some axes those along others: ``x @ turned + moved`` of each image's features."""
    assert isinstance(told, ClassStatistics)
    spread = None if told.covariance is None else turned.T @ told.covariance @ turned
    return replace(told, mean=told.mean @ turned + moved, covariance=spread)


def _of_queried(part: Response, query: LabelSpace) -> Response:
    """A site's answers, for the queried classes alone and under their names."""
    columns = Alignment(LabelSpace([a.label for a in part.card.answers]), query).columns
    answers, given = [], {}
    for i, label in enumerate(query.plain):
        told = [source for source, target in columns.items() if target == i]
        answer, numbers = _together([(part.card.answers[at], part.given.get(at)) for at in told])
        answers.append(answer.model_copy(update={"label": label}))
        if numbers is not None:
            given[i] = numbers
    return replace(part, card=part.card.model_copy(update={"answers": answers}), given=given, looks={})


Told = tuple[ClassResponse, ClassStatistics | PrivateSum | None]


def _together(parts: Sequence[Told]) -> Told:
    """What a site published of a class, or of those that the student merges into it.

    Of private answers the guarantees add up, and a patient counts once in each part.
    """
    nothing = ClassLabel(name="nothing")
    if len(parts) < 2:
        return parts[0] if parts else (ClassResponse(label=nothing, declined=NOT_PUBLISHED), None)
    declined = [a for a, _ in parts if a.declined]
    if declined:
        why = f"of its part '{declined[0].label.name}' nothing was published: {declined[0].declined}"
        return ClassResponse(label=nothing, declined=why[:MOST]), None
    exact = [n for _, n in parts if isinstance(n, ClassStatistics)]
    private = [n for _, n in parts if isinstance(n, PrivateSum)]
    if len({a.kind for a, _ in parts}) > 1:
        return ClassResponse(label=nothing, declined=OF_SEVERAL_KINDS), None
    one = parts[0][0]
    if exact:
        counts = [a.count for a, _ in parts]
        count = None if None in counts else sum(c for c in counts if c)
        return one.model_copy(update={"count": count, "look": None}), united(exact)
    sums = {name: sum(getattr(a, name) for a, _ in parts) for name in ("noised_count", "epsilon", "delta")}
    return one.model_copy(update={**sums, "look": None}), added_up(private)
