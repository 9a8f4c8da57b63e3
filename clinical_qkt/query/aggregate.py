"""The student's side of the responses: verified, compared, pooled, and made into a classifier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from clinical_qkt.core.errors import InputError, PackageError
from clinical_qkt.data.label_space import LabelSpace
from clinical_qkt.networks.extractor import Extractor
from clinical_qkt.networks.gaussian_classifier import GaussianClassifier, GaussianSpec
from clinical_qkt.packages.derived import DerivedModel, derived
from clinical_qkt.packages.model import Model
from clinical_qkt.packages.query import load_query
from clinical_qkt.packages.response import Response, load_response
from clinical_qkt.packages.signing import Trust
from clinical_qkt.query.shrinkage import told
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


@dataclass
class Responses:
    """All responses to the site's query.

    Attributes:
        extractor: of the query, with the student's own network in it.
        parts: one a response package.
    """

    extractor: Extractor
    labels: LabelSpace
    parts: list[Response]

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
    parts: dict[str, Response] = {}
    for folder in folders:
        part = load_response(folder, sent, trust)
        if part.site in parts:
            raise PackageError(
                f"a second response of the site '{part.site}'",
                where=str(folder),
                fix="list each site's response once under 'responses'",
            )
        parts[part.site] = part
    extractor = Extractor(sent.card.extractor, own.network).double_map()
    extractor.center, extractor.projection = sent.extractor.center, sent.extractor.projection
    return Responses(extractor.eval(), LabelSpace(sent.card.query), list(parts.values()))


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
    """

    choice: HeadChoice
    agreement: dict[str, dict[str, Agreement]]
    queried: list[ClassStatistics]
    features: torch.Tensor


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


def with_responses(
    own: Model,
    responses: Responses,
    training: Images,
    validation: Images,
    head: Head,
    shrinkage: float | None,
    seed: int,
    device: torch.device,
) -> tuple[DerivedModel, TakenIn]:
    """The student's model, extended by the classes that were answered for.

    Returns:
        The model, its card's label space extended; and what was chosen and found.
    """
    seen = {
        "training": (features_of(responses.extractor, training, device), labels_of(training)),
        "validation": (features_of(responses.extractor, validation, device), labels_of(validation)),
    }
    classes = len(own.card.label_space)
    kept = seen["training"][1] < classes  # a few queried images may be there
    seen["training"] = (seen["training"][0][kept], seen["training"][1][kept])
    statistics = own_statistics(*seen["training"], classes)
    found: dict[str, dict[str, Agreement]] = {}
    queried = []
    for i in responses.responded:
        sites, parts = zip(*responses.of_class(i), strict=True)
        compared = agreement(parts, statistics)
        found[responses.labels[i].name] = dict(zip(sites, compared, strict=True))
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
    return model, TakenIn(choice, found, queried, seen["training"][0])
