"""The student's side of the responses: verified, compared, pooled, and made into a classifier."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from clinical_qkt.core.errors import InputError
from clinical_qkt.data.label_space import LabelSpace
from clinical_qkt.networks.extractor import Extractor
from clinical_qkt.networks.gaussian_classifier import GaussianClassifier, GaussianSpec
from clinical_qkt.packages.derived import DerivedModel, derived
from clinical_qkt.packages.model import Model
from clinical_qkt.packages.query import Query, load_query
from clinical_qkt.packages.response import Response, load_response, once_each
from clinical_qkt.packages.signing import Trust
from clinical_qkt.query.looks import sure
from clinical_qkt.query.residual import taken_off
from clinical_qkt.query.shrinkage import told
from clinical_qkt.query.told import Told, left_out, told_looks
from clinical_qkt.statistics import gaussian_heads
from clinical_qkt.statistics.class_statistics import (
    Agreement,
    ClassStatistics,
    PrivateSum,
    agreement,
    class_statistics,
)
from clinical_qkt.statistics.gaussian_heads import Gaussians, Head
from clinical_qkt.tasks.single_label import SINGLE_LABEL
from clinical_qkt.training.inference import Images, features_of, labels_of
from clinical_qkt.training.kept_outputs import KeptOutputs


@dataclass
class Responses:
    """All responses to the site's query.

    Attributes:
        extractor: of the query, with the student's own network in it.
        parts: one a response package.
        query: as it was sent.
    """

    extractor: Extractor
    labels: LabelSpace
    parts: list[Response]
    query: Query

    def of_class(self, position: int) -> list[tuple[str, ClassStatistics | PrivateSum]]:
        """The sites that answered for one queried class, with what they told."""
        return [(p.site, p.given[position]) for p in self.parts if position in p.given]

    @property
    def responded(self) -> list[int]:
        """The positions in the query that somebody answered for."""
        return [i for i in range(len(self.labels)) if self.of_class(i)]


def read_responses(
    folders: Sequence[Path], query_dir: Path, own: Model, query: LabelSpace, trust: Trust | None = None
) -> Responses | None:
    """Verify the responses to the query that lies in ``query_dir``; None if there are none.

    Args:
        trust: whose signatures count; None: none is asked for.

    Raises:
        PackageError: a response is refused, or two come from the same site.
        InputError: the query is not that of this model or of these classes.
    """
    if not folders:
        return None
    sent = load_query(query_dir, trust and trust.own_alone)
    stale = "the model was trained again" if sent.card.model_sha256 != own.card.weights_sha256 else None
    if stale is None and sent.card.query != query.plain:
        stale = "the queried classes were changed"
    if stale:
        raise InputError(
            f"{stale} since the query was written, so that responses to it do not fit",
            where=str(query_dir),
            fix="run `query` again and ask the sites again",
        )
    parts = once_each(folders, lambda folder: load_response(folder, sent, trust))
    extractor = Extractor(sent.card.extractor, own.network).double_map()
    extractor.center, extractor.projection = sent.extractor.center, sent.extractor.projection
    return Responses(extractor.eval(), LabelSpace(sent.card.query), parts, sent)


def own_statistics(features: torch.Tensor, labels: torch.Tensor, classes: int) -> list[ClassStatistics]:
    """The own classes', of ``(N, D)`` features of training images."""
    return [class_statistics(mine) for mine in SINGLE_LABEL.by_class(features, labels, range(classes))]


@dataclass(frozen=True)
class HeadChoice:
    """What was chosen for a classifier made of statistics.

    Attributes:
        head: ``linear``, ``quadratic`` or ``replay``.
        shrinkage: of a quadratic one.
        temperature: of a linear or quadratic one.
    """

    head: Head
    shrinkage: float | None = None
    temperature: float | None = None


@dataclass(frozen=True)
class TakenIn:
    """How responses were taken in.

    Attributes:
        choice: of the head.
        agreement: by class, then by site.
        queried: statistics of the classes that were answered for, pooled.
        features: ``(N, D)`` of the training images of own classes.
        looks: what was told of looks, by class, then by site.
        left_out: by class, the sites whose answers are not gone by: how their images look is not known.
    """

    choice: HeadChoice
    agreement: dict[str, dict[str, Agreement]]
    queried: list[ClassStatistics]
    features: torch.Tensor
    looks: dict[str, dict[str, Told]] = field(default_factory=dict)
    left_out: dict[str, list[str]] = field(default_factory=dict)


def fitted(
    own: Model,
    extractor: Extractor,
    queried: Sequence[ClassStatistics],
    training: tuple[torch.Tensor, torch.Tensor],
    validation: tuple[torch.Tensor, torch.Tensor],
    head: Head,
    shrinkage: float | None,
    seed: int,
) -> tuple[GaussianClassifier, HeadChoice]:
    """A classifier for the own classes and those that were answered for.

    Args:
        queried: pooled statistics, one a class.
        training, validation: features ``(N, D)`` and labels ``(N,)`` of own images.
        head: ``auto``: quadratic if every queried class came with a full covariance, else linear.
        shrinkage: of the quadratic head; chosen on validation images if None.

    Returns:
        The classifier, and what was chosen.
    """
    classes = len(own.card.label_space)
    everyone = [*own_statistics(*training, classes), *queried]
    if head == "auto":
        head = "quadratic" if all(q.kind == "covariance" for q in queried) else "linear"
    spec = GaussianSpec(
        extractor=extractor.spec,
        own=classes,
        gaussians=len(everyone),
        shared=head == "linear",
        head="replay" if head == "replay" else "gaussian",
    )
    single = Extractor(extractor.spec, own.network)
    single.center, single.projection = extractor.center.float(), extractor.projection.float()
    network = GaussianClassifier(spec, single, len(everyone))
    if head == "replay":
        shared = gaussian_heads.shared_covariance(everyone)
        network.head = gaussian_heads.replayed(*training, queried, shared, seed)
        return network.eval(), HeadChoice(head)
    if head == "linear":
        shrinkage = None
    elif shrinkage is None:
        shrinkage = gaussian_heads.chosen_shrinkage(everyone, *validation)
    gaussians = gaussians_of(everyone, HeadChoice(head, shrinkage))
    temperature = gaussian_heads.chosen_temperature(gaussians, *validation)
    fill(network, gaussians, temperature)
    return network.eval(), HeadChoice(head, shrinkage, temperature)


def gaussians_of(everyone: Sequence[ClassStatistics], choice: HeadChoice) -> Gaussians:
    """The classifier's Gaussians, of the own classes and those that were answered for."""
    if choice.head == "linear":
        return gaussian_heads.linear(everyone)
    assert choice.shrinkage is not None
    return gaussian_heads.quadratic(everyone, choice.shrinkage)


def fill(network: GaussianClassifier, gaussians: Gaussians, temperature: float) -> None:
    """Put Gaussians into a classifier, in single precision."""
    network.mean.copy_(gaussians.mean)
    network.whitening.copy_(gaussians.whitening)
    # Only differences count, and small numbers keep their digits.
    network.log_volume.copy_(gaussians.log_volume - gaussians.log_volume.mean())
    network.temperature.fill_(temperature)


def looks_of(
    responses: Responses, counts: dict[str, int]
) -> tuple[dict[str, dict[str, Told]], dict[str, list[str]]]:
    """What was told of looks, by class and site; and the sites whose answers are left out, which is said.

    Args:
        counts: own training images, by class.
    """
    looks: dict[str, dict[str, Told]] = {}
    without: dict[str, list[str]] = {}
    if responses.query.card.looks is None:
        return looks, without
    told_by = {part.site: told_looks(part, responses.query, counts) for part in responses.parts}
    for i in responses.responded:
        name, sites = responses.labels[i].name, [site for site, _ in responses.of_class(i)]
        looks[name] = {site: told_by[site][i] for site in sites if i in told_by[site]}
        out = left_out([looks[name].get(site) for site in sites])
        without[name] = [site for site, leave in zip(sites, out, strict=True) if leave]
        for site in sites:
            if words := _in_doubt(looks[name].get(site), leave=site in without[name]):
                print(f"note: images of {site} for '{name}' {words}", file=sys.stderr)
    return looks, {name: sites for name, sites in without.items() if sites}


def _in_doubt(given: Told | None, *, leave: bool) -> str | None:
    """What of a look has to be said."""
    if sure(given.compared if given else None):
        return None
    return f"cannot be compared with this site's: its answer is {'left out' if leave else 'taken as it is'}"


def with_responses(
    own: Model,
    responses: Responses,
    training: Images,
    validation: Images,
    head: Head,
    shrinkage: float | None,
    seed: int,
    device: torch.device,
    outputs: KeptOutputs | None = None,
) -> tuple[DerivedModel, TakenIn]:
    """The student's model, extended by the classes that were answered for.

    Args:
        outputs: what networks said of the images in earlier runs.

    Returns:
        The model, its card's label space extended; and what was chosen and found.
    """
    outputs, extractor, given = outputs or KeptOutputs(), responses.extractor, own.card.input

    def features(images: Images) -> Tensor:
        def ask() -> Tensor:
            return features_of(extractor, images, device)

        return outputs.of(extractor.state_dict(), extractor.spec, images, given, device, "features", ask)

    seen = {
        "training": (features(training), labels_of(training)),
        "validation": (features(validation), labels_of(validation)),
    }
    classes = len(own.card.label_space)
    kept = seen["training"][1] < classes  # a few queried images may be there
    seen["training"] = (seen["training"][0][kept], seen["training"][1][kept])
    statistics = own_statistics(*seen["training"], classes)
    found: dict[str, dict[str, Agreement]] = {}
    counts = {name: s.count for name, s in zip(own.card.labels.names, statistics, strict=True)}
    looks, without = looks_of(responses, counts)
    queried = []
    for i in responses.responded:
        name = responses.labels[i].name
        answered = [(s, part) for s, part in responses.of_class(i) if s not in without.get(name, ())]
        known = looks.get(name, {})
        parts = [taken_off(part, known[s].residual if s in known else None) for s, part in answered]
        compared = agreement(parts, statistics)
        found[name] = {site: seen for (site, _), seen in zip(answered, compared, strict=True)}
        queried.append(told(parts, statistics))
    network, choice = fitted(
        own, responses.extractor, queried, seen["training"], seen["validation"], head, shrinkage, seed
    )
    gained = [responses.labels[i] for i in responses.responded]
    model = derived(
        own.card,
        network,
        [own.card, *(p.card for p in responses.parts)],
        network=network.spec,
        label_space=[*own.card.label_space, *gained],
    )
    return model, TakenIn(choice, found, queried, seen["training"][0], looks, without)
