"""Attacks on responses with statistics, and on the students that are made of them.

Members are an answering site's training images of the queried class, others as many of that class that nobody
trained on. No shadow model has to be trained for these attacks: a shadow student is made of other answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from clinical_qkt.audit import inclusion, membership
from clinical_qkt.audit.membership import Bools, Floats
from clinical_qkt.audit.shadows import halves
from clinical_qkt.core.errors import QueryError
from clinical_qkt.networks.gaussian_classifier import GaussianClassifier
from clinical_qkt.privacy.mechanisms import STEPS, Guarantee, private_release, rounded_noise, whole
from clinical_qkt.research.benchmark.config import BenchmarkConfig
from clinical_qkt.research.benchmark.privacy.attacks import Record, attacked
from clinical_qkt.research.benchmark.privacy.sites import AttackedFederation
from clinical_qkt.research.methods import statistics
from clinical_qkt.research.methods.case import Case
from clinical_qkt.research.methods.requested import Requested, RequestSettings, requested
from clinical_qkt.research.partitions import Ask
from clinical_qkt.statistics.class_statistics import class_statistics
from clinical_qkt.training.inference import features_of, labels_of


@dataclass(frozen=True)
class Candidates:
    """Images of one queried class at one answering site, some of them behind its answer.

    Attributes:
        query: position among the queried classes.
        images: as the student sees them, labels in its columns.
        features: ``(N, D)`` of the student's extractor.
        members: ``(N,)``: whose statistics the site answers with.
    """

    site: str
    query: int
    images: list[dict[str, Any]]
    features: Tensor
    members: Bools


def attack_student_of_responses(
    federation: AttackedFederation, ask: Ask, comparison: BenchmarkConfig, transfer: str, shadows: int
) -> list[Record]:
    """All attacks on a student that was made of answers.

    A shadow student is made of what the sites would have answered, had a random half of members and others
    been theirs. Everything else, the extractor with it, the attacker has.

    Args:
        transfer: the method ``statistics``, under whatever name.
        shadows: how many shadow students; even.
    """
    case = federation.case(ask)
    settings = comparison.settings(transfer)[1]
    question = requested(case, settings.depths, settings.views, settings.reference)
    those = candidates(federation, ask, case, question, settings)
    images = [item for known in those for item in known.images]
    labels = labels_of(images).numpy()
    try:
        student = statistics.student(case, settings)[0].eval()
    except QueryError:  # too few images for an answer
        return []
    stages = question.seen(images, images)  # those of all students alike

    def seen(network: GaussianClassifier) -> Floats:
        return membership.confidences(network.said(*stages).numpy(), labels)

    included = np.concatenate([_halves(federation, known, shadows) for known in those], 1)
    made = [_answered(case, question, those, mine, k) for k, mine in enumerate(included)]
    with torch.no_grad():
        target = seen(student)
        of_shadows = np.stack([seen(statistics.student(shadow, settings)[0].eval()) for shadow in made])
    about = {
        "of": transfer,
        "target": f"{federation.names[ask.student]} asks for {case.labels[case.query[0]].name}",
        "members": np.concatenate([known.members for known in those]),
        "rare": np.zeros(len(images), dtype=bool),
    }
    return attacked(target, of_shadows, included, about)


def attack_responses(
    federation: AttackedFederation, ask: Ask, comparison: BenchmarkConfig, method: str, draws: int
) -> list[Record]:
    """Both attacks on each site's answer; see ``inclusion``.

    Args:
        method: of the statistics' family; its settings say what is answered.
        draws: of the noise of a private response, so that rates do not hang on one.
    """
    case = federation.case(ask)
    settings = comparison.settings(method)[1]
    question = requested(case, settings.depths, settings.views, settings.reference)
    records = []
    for known in candidates(federation, ask, case, question, settings):
        about = {
            "of": f"answers ({method})",
            "target": f"{known.site} answers {federation.names[ask.student]}",
        }
        for attack, scores in _scores(known, question, settings, draws, federation.seed).items():
            members = np.tile(known.members, len(scores) // len(known.members))
            nothing = np.zeros(len(scores), dtype=bool)
            records.append(Record(attack=attack, scores=scores, members=members, rare=nothing, **about))  # type: ignore[arg-type]
    return records


def candidates(
    federation: AttackedFederation, ask: Ask, case: Case, question: Requested, settings: RequestSettings
) -> list[Candidates]:
    """Of every site that answers for a queried class, with as many others of it."""
    key = ("candidates", settings.views, *(settings.depths or ()))
    if key not in case.kept:
        case.kept[key] = _candidates(federation, ask, case, question)
    least = 1 if settings.kind == "private_mean" else settings.minimum_patients
    return [known for known in case.kept[key] if known.members.sum() >= least]


def _candidates(
    federation: AttackedFederation, ask: Ask, case: Case, question: Requested
) -> list[Candidates]:
    found = []
    for q, (c, answered) in enumerate(zip(ask.classes, question.sites, strict=True)):
        for name in answered:
            images, members = federation.candidates(federation.names.index(name), c, case)
            features = features_of(question.extractor, images, case.device)
            found.append(Candidates(name, q, images, features, members))
    return found


def _scores(
    known: Candidates, question: Requested, settings: RequestSettings, draws: int, seed: int
) -> dict[str, Floats]:
    """Both attacks' scores on the answer; of a private one so many, one after the other."""
    if settings.kind == "private_mean":
        return _private_scores(known, question, settings, draws, seed)
    answer = class_statistics(known.features[torch.from_numpy(known.members)]).reduced(settings.kind)
    rounded = replace(answer, count=max(1, round(answer.count, -1)))  # as it leaves
    return {
        "inclusion_ratio": inclusion.inclusion_ratios(rounded, known.features),
        "others_known": inclusion.subtracted(answer.mean, known.features, known.members),
    }


def _private_scores(
    known: Candidates, question: Requested, settings: RequestSettings, draws: int, seed: int
) -> dict[str, Floats]:
    guarantee = Guarantee(settings.epsilon, settings.delta)
    axes = settings.private_axes
    rows = whole(known.features[:, :axes], question.clip(axes), STEPS)
    generator = torch.Generator().manual_seed(seed)
    noise = rounded_noise(lambda n: torch.randn(n, generator=generator, dtype=torch.float64))
    mine = rows[torch.from_numpy(known.members)]
    found: list[tuple[Floats, Floats]] = []
    for _ in range(draws):
        releases = [private_release(mine, guarantee, noise) for _ in rows]
        told = inclusion.others_known(releases, rows, known.members, guarantee)
        found.append((inclusion.of_release(releases[0], rows, guarantee), told))
    blind, knowing = map(np.concatenate, zip(*found, strict=True))
    return {"inclusion_ratio": blind, "others_known": knowing}


def _halves(federation: AttackedFederation, known: Candidates, shadows: int) -> Bools:
    site = federation.names.index(known.site)
    return halves(np.zeros(len(known.images)), shadows, federation.seed * 101 + site)


def _answered(case: Case, question: Requested, those: Sequence[Candidates], mine: Bools, k: int) -> Case:
    """The case in which these images were the sites' own, with noise of its own in private responses."""
    sites: list[dict[str, Tensor]] = [{} for _ in question.sites]
    for known, chosen in zip(those, _split(mine, those), strict=True):
        sites[known.query][known.site] = known.features[torch.from_numpy(chosen)]
    key = next(key for key, value in case.kept.items() if value is question)
    return replace(case, seed=case.seed + 1 + k, kept={key: replace(question, sites=sites)})


def _split(mine: Bools, those: Sequence[Candidates]) -> Iterator[Bools]:
    ends = np.cumsum([len(known.images) for known in those])
    yield from np.split(mine, ends[:-1])
