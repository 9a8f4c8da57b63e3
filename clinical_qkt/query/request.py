"""The student's side of a query for statistics: a feature space of its own, and the package that asks."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from clinical_qkt.core.errors import InputError
from clinical_qkt.core.files import digest_of
from clinical_qkt.core.values import Strict
from clinical_qkt.data.datalist import CheckedData
from clinical_qkt.data.transforms import cached
from clinical_qkt.networks.extractor import MAX_FEATURES, Extractor, describe
from clinical_qkt.networks.spec import NetworkSpec
from clinical_qkt.packages.looks import SentLooks
from clinical_qkt.packages.model import Model, load_model
from clinical_qkt.packages.query import MOST_LOOKS, QueryCard, save_query
from clinical_qkt.packages.signing import Trust, require_private_key
from clinical_qkt.query import axes
from clinical_qkt.query.looks import FEWEST, askers_looks
from clinical_qkt.site.config import Site
from clinical_qkt.site.consent import Leaving, require_no_identifiers
from clinical_qkt.statistics.class_statistics import KINDS, Kind, Moments
from clinical_qkt.tasks.single_label import SINGLE_LABEL
from clinical_qkt.training.inference import Images, labels_of, pooled_of
from clinical_qkt.training.kept_outputs import FOLDER, KeptOutputs

MOST_FEATURES = 160
"""Of a network's pooled numbers."""
MAP_RIDGE = 0.00003
"""Added to the variance along each axis before it is brought to one, in units of the mean variance: an axis
along which own classes do not vary at all has no scale."""

CLIP = 0.8
"""The radius at which private responses clip, in units of the median length of own features."""


class QuerySettings(Strict):
    """The section ``settings`` of a bundle's ``query.yaml``.

    Attributes:
        depths: modules whose outputs are pooled; the network's first stages if None.
        welcome: the kinds of answer that are welcome.
        mirror_axes: axes along which a mirrored image still shows its class, all if None: features are the
            mean over all mirrored views, and over the turned ones of a square picture that may be mirrored
            along both axes.
        private_axes: of so many features, the first, private responses are made; of all if None. It is the
            asker's choice, never a site's number of patients.
        tell_looks: whether the query tells how the own images look, so that sites bring theirs to that look.
        looks_of: folders of teacher packages whose senders agreed that this query passes their looks on, for
            sites that share no class with this one.
        reference: whether a reference is written: no class is asked for by name, and no look told. It has as
            many features as are pooled, so that exact answers can be brought into every site's own map.
    """

    depths: list[str] | None = None
    welcome: list[Kind] = Field(default=list(KINDS), min_length=1)
    mirror_axes: list[int] | None = None
    private_axes: int | None = Field(default=None, ge=1)
    tell_looks: bool = True
    looks_of: list[str] = Field(default=[], max_length=20)
    reference: bool = False


def write_query(
    site: Site,
    settings: QuerySettings,
    own: Model,
    data: CheckedData,
    read: list[Any],
    device: torch.device,
    leaving: Leaving,
) -> QueryCard:
    """Write the query package to the site's ``query_dir``.

    Args:
        leaving: asks whoever is there.

    Raises:
        InputError: the own model cannot be an extractor, or was trained for other classes; nobody agreed.
    """
    leaving.require_somebody()
    if site.signing_key:
        require_private_key(site.signing_key)
    site.require_classes(own.card.labels)
    tells, asked = settings.tell_looks and not settings.reference, [] if settings.reference else site.query
    told = site.labels.plain if tells else ()
    require_no_identifiers(site, task=own.card.task, label_space=told, query=asked)
    others = looks_of_others(settings, own, site.trust) if tells else []
    images = cached(data.items["training"], read, own.card.input, "training images")
    question = own_question(own, settings, images, device, KeptOutputs(site.output_dir / FOLDER))
    looks, means = own_looks(site, own, question, data, images) if tells else (None, None)
    card = QueryCard(
        site=site.site,
        task=own.card.task,
        extractor=question.extractor.spec,
        input=own.card.input,
        query=[*asked],
        reference=settings.reference,
        pretrained=own.card.pretrained,
        welcome=settings.welcome,
        private_axes=question.private_axes,
        radius=question.radius,
        model_sha256=own.card.weights_sha256,
        generated_data=data.generated,
        looks=looks,
        others=others if looks else [],
    )
    keep: dict[str, Any] = {"signing_key": site.signing_key, "agree": leaving, "record": site.record}
    return save_query(site.query_dir, question.extractor, card, means, **keep)


def own_looks(
    site: Site, own: Model, question: Question, data: CheckedData, images: Images
) -> tuple[SentLooks | None, Tensor | None]:
    """How the training images look, class by class, and these classes' mean features; None if none is told.

    A class of fewer than ``minimum_patients`` is not told, which is said: it could single a patient out.
    """
    files = [str(item["image"]) for item in data.items["training"]]
    whose = [data.patients.get(file, file) for file in files]
    names, given = own.card.labels.names, own.card.input
    found = askers_looks(images, names, given, question.features, whose)
    fewest = max(site.policy.minimum_patients, FEWEST)
    looks = SentLooks.of(found.classes, found.spread, own.card.labels.plain[:MOST_LOOKS], given, fewest)
    known = [label.name for label in looks.labels] if looks else []
    if untold := [name for name in names if name not in known]:
        why = f"fewer than {fewest} patients"
        if len(names) > MOST_LOOKS:
            why += f", or not among the first {MOST_LOOKS} classes"
        print(f"note: how images of {', '.join(untold)} look is not told: {why}", file=sys.stderr)
    return looks, torch.stack([found.means[name] for name in known]) if known else None


def looks_of_others(settings: QuerySettings, own: Model, trust: Trust | None) -> list[SentLooks]:
    """The looks that further sites' models tell, to be passed on.

    Raises:
        InputError: one tells none, or of images that are prepared in another way.
        PackageError: a package is refused.
    """
    found = []
    for folder in settings.looks_of:
        card = load_model(folder, trust).card
        if card.looks is None or card.input.plain != own.card.input.plain:
            what = "tells no looks" if card.looks is None else "takes images that are prepared in another way"
            raise InputError(
                f"the model of {card.site} {what}",
                where=f"settings: looks_of: {folder}",
                fix="leave it out, or ask its sender for one that was shared with tell_looks",
            )
        found.append(card.looks)
    return found


@dataclass(frozen=True)
class Question:
    """What a site asks with.

    Attributes:
        extractor: its features are centred in the middle of the own classes and its axes are in order, see
            ``axes``; its map is in float64.
        private_axes: of so many features, the first, private responses are made.
        radius: at which these clip.
        features: ``(N, features)`` of the own training images.
    """

    extractor: Extractor
    private_axes: int
    radius: float
    features: Tensor


def own_question(
    own: Model,
    settings: QuerySettings,
    images: Images,
    device: torch.device,
    outputs: KeptOutputs | None = None,
) -> Question:
    """A site's own network as an extractor, mapped so that own classes vary by one along each axis.

    Args:
        images: own training images with labels.
        outputs: where what the network gives of them is kept for the next query.

    Raises:
        InputError: the network has no such depths, or gives nothing that could be used.
    """
    mirror_axes = settings.mirror_axes
    if mirror_axes is None:
        mirror_axes = list(range(len(own.card.input.spatial_size)))
    most = MAX_FEATURES if settings.reference else MOST_FEATURES
    extractor, features = own_extractor(
        own, settings.depths, images, device, mirror_axes, most, outputs=outputs
    )
    asked = min(settings.private_axes or MOST_FEATURES, extractor.spec.features)
    return Question(extractor, asked, radius_of(features[:, :asked]), features)


def radius_of(features: Tensor) -> float:
    """At which private responses clip, of ``(N, private axes)`` features of own training images."""
    return CLIP * float(features.norm(dim=1).median())


def own_extractor(
    own: Model,
    depths: Sequence[str] | None,
    images: Images,
    device: torch.device,
    mirror_axes: Sequence[int] = (),
    most: int = MOST_FEATURES,
    known: Callable[[Extractor], Tensor] | None = None,
    outputs: KeptOutputs | None = None,
) -> tuple[Extractor, Tensor]:
    """The extractor of ``own_question``, and its features ``(N, features)`` of own training images.

    Args:
        depths: the network's first stages if None.
        mirror_axes: see ``ExtractorSpec``.
        most: see ``whitening``.
        known: gives what is pooled of the images, ``(N, pooled)``, where that is known beforehand.
        outputs: see ``own_question``.
    """
    if not isinstance(own.card.network, NetworkSpec):
        raise InputError(
            "is a committee or was made of statistics, and cannot be a feature extractor",
            where=str(own.folder),
            fix="name the model that the site trained itself under 'model'",
        )
    chosen = list(depths or own.card.network.early_depths)
    spec = describe(own.network, own.card.network, chosen, own.card.input)
    body = Extractor(spec.model_copy(update={"mirror_axes": list(mirror_axes)}), own.network)
    labels, given = labels_of(images), own.card.input

    def kept(what: str, make: Callable[[], Tensor], *, rows: bool) -> Tensor:
        here = outputs or KeptOutputs()
        return here.of(own.network.state_dict(), body.spec, images, given, device, what, make, rows=rows)

    raw = kept("pooled", lambda: known(body) if known else pooled_of(body, images, device), rows=True)
    if not torch.isfinite(raw).all() or float(raw.std(0).max()) == 0:
        raise InputError(
            "gives features that are not finite or all the same on its own images",
            where=str(own.folder),
            fix="train the model again, or name other depths under 'settings'",
        )
    _, projection = whitening(raw, labels, most)
    means = torch.stack([mine.mean(0) for mine in SINGLE_LABEL.by_class(raw, labels, labels.unique())])
    about = f"moves {digest_of(str(labels.tolist()))}"
    moved = kept(about, lambda: axes.moves(body, images, given, device), rows=False)
    projection = projection @ axes.turn(means @ projection, moved @ projection)
    extractor = Extractor(body.spec.model_copy(update={"features": projection.shape[1]}), own.network).eval()
    extractor.center, extractor.projection = means.mean(0), projection
    return extractor, (raw - extractor.center) @ projection


def whitening(raw: Tensor, labels: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """Centre ``(D,)`` and map ``(D, d)`` after which classes vary by one, on average, along each axis.

    Args:
        raw: ``(N, D)`` features of own images.
        labels: ``(N,)`` their classes.
        most: of D axes so many are kept, those along which classes vary most: more could not be estimated
            from some hundred images, and cost noise in private responses.
    """
    scale = raw.std(0)
    scale = scale.clamp_min(1e-3 * float(scale.median()) + 1e-12)
    center, standard = raw.mean(0), (raw - raw.mean(0)) / scale
    values, vectors = torch.linalg.eigh(within_classes(standard, labels))
    values = values.clamp_min(0) + MAP_RIDGE * values.mean()
    vectors, values = vectors[:, -most:], values[-most:]
    return center, vectors / values.sqrt() / scale[:, None]


def within_classes(features: Tensor, labels: Tensor) -> Tensor:
    """``(D, D)`` float64: how features ``(N, D)`` vary about the means of their classes."""
    found = Moments(features.shape[1])
    for of_class in SINGLE_LABEL.by_class(features, labels, labels.unique()):
        found.update(of_class - of_class.mean(0))
    covariance = found.statistics().covariance
    assert covariance is not None
    return covariance
