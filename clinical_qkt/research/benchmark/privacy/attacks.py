"""The benchmark's attacks: each ends as a record of scores, from which tables and curves are made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch import nn

from clinical_qkt.audit import membership
from clinical_qkt.audit.membership import Bools, Floats
from clinical_qkt.audit.shadows import confidences_of
from clinical_qkt.core.errors import QueryError
from clinical_qkt.core.files import write_whole
from clinical_qkt.qkt.teachers import Teacher, relevant_teachers
from clinical_qkt.research.benchmark.config import BenchmarkConfig
from clinical_qkt.research.benchmark.privacy.sites import AttackedFederation
from clinical_qkt.research.methods import METHODS
from clinical_qkt.research.methods.case import Case, Outcome
from clinical_qkt.research.partitions import Ask
from clinical_qkt.training.inference import labels_of

PACKAGE, BEFORE = "teacher packages", "student before"

Attack = membership.Attack | Literal["inclusion_ratio", "others_known"]
"""On models, or on the numbers of an answer."""


@dataclass(frozen=True)
class Record:
    """One attack on one model.

    Attributes:
        of: what was attacked: ``PACKAGE``, ``BEFORE``, or the name of a transfer.
        target: which one.
        scores, members: ``(N,)``; the higher the score the likelier a member.
        rare: ``(N,)``: images of the rarest class of a site, or of the class that the student asked for.
    """

    of: str
    target: str
    attack: Attack
    scores: Floats
    members: Bools
    rare: Bools


def attack_package(federation: AttackedFederation, site: int) -> list[Record]:
    """All attacks on one site's package, its training images being the members."""
    known, model = federation.known(site), federation.models[site]
    seen = lambda network: confidences_of(network, known.images, federation.device)  # noqa: E731
    target, shadows = seen(model.network), None
    labels = labels_of(known.images).numpy()
    rare = labels == membership.rarest_class(labels, known.members)
    about: dict[str, Any] = {
        "of": PACKAGE,
        "target": federation.names[site],
        "members": known.members,
        "rare": rare,
    }
    if federation.shadows:
        shadows = np.stack([seen(network) for network in federation.shadow_models(site)])
    return attacked(target, shadows, known.included, about)


def attack_student(
    federation: AttackedFederation,
    ask: Ask,
    comparison: BenchmarkConfig,
    transfer: str,
    shadow_students: bool,
) -> list[Record]:
    """Attacks on a student, the relevant teachers' training images being the members.

    Only images of classes that the student's head has after the transfer. The shadow students are made as in
    Jagielski et al. (NeurIPS 2023): the transfer is repeated with the k-th shadow model of each relevant
    teacher. The attacker knows everything else: the student's images and its model from before, and the
    teachers that are not relevant.

    Args:
        transfer: a method of the comparison, or ``BEFORE``: the student's own model, which has no shadows.
        shadow_students: attack with what takes shadow students, too.
    """
    case = federation.case(ask)
    try:
        relevant = relevant_teachers(case.teachers, case.labels, case.query)
    except QueryError:  # no mask covers the class, so that there is no transfer
        return []
    images, members, included = _against_teachers(federation, relevant)
    rare = np.isin(labels_of(images).numpy(), case.query)
    target = f"{federation.names[ask.student]} asks for {case.labels[case.query[0]].name}"
    about: dict[str, Any] = {"of": transfer, "target": target, "members": members, "rare": rare}
    name, settings = "local", METHODS["local"].settings()
    if transfer != BEFORE:
        name, settings = comparison.settings(transfer)

    def seen(outcome: Outcome) -> Floats:
        return membership.confidences(outcome.predict(images).numpy(), labels_of(images).numpy())

    found, shadows = seen(METHODS[name].run(case, settings)), None
    if federation.shadows and shadow_students and transfer != BEFORE:
        networks = {t.site: federation.shadow_models(federation.names.index(t.site)) for t in relevant}
        shadows = np.stack(
            [
                seen(
                    METHODS[name].run(_with_teachers(case, {s: n[k] for s, n in networks.items()}), settings)
                )
                for k in range(federation.shadows)
            ]
        )
    return attacked(found, shadows, included, about)


def attacked(target: Floats, shadows: Floats | None, included: Bools, about: dict[str, Any]) -> list[Record]:
    """Each attack's record.

    Args:
        target: ``(N,)`` confidences of what is attacked.
        shadows: ``(S, N)`` of its shadows; None: the loss threshold alone.
        included: ``(S, N)``: which image is behind which shadow.
        about: the other fields of a record.
    """
    scores: dict[membership.Attack, Floats] = {"loss_threshold": membership.loss_scores(target)}
    if shadows is not None:
        scores |= membership.ratios(target, shadows, included)
    return [Record(attack=attack, scores=found, **about) for attack, found in scores.items()]


def kept(file: Path, make: Callable[[], list[Record]]) -> list[Record]:
    """The records in a file; made and written if it is not there."""
    if not file.is_file():
        columns: dict[str, NDArray[Any]] = {}
        for i, record in enumerate(make()):
            columns |= {f"{i}:{k}": np.asarray(v) for k, v in vars(record).items()}
        write_whole(file, lambda part: _save(part, columns), private=True)  # a row for each image
    with np.load(file, allow_pickle=False) as archive:
        content = {k: archive[k] for k in archive.files}
    return [
        Record(
            **{k: str(content[f"{i}:{k}"]) for k in ("of", "target", "attack")},  # type: ignore[arg-type]
            **{k: content[f"{i}:{k}"] for k in ("scores", "members", "rare")},
        )
        for i in dict.fromkeys(k.split(":")[0] for k in content)
    ]


def _against_teachers(
    federation: AttackedFederation, teachers: Sequence[Teacher]
) -> tuple[list[dict[str, Any]], Bools, Bools]:
    """The teachers' images and as many others, labels in the student's columns: see ``Known``."""
    images: list[dict[str, Any]] = []
    members, included = [], []
    for teacher in teachers:
        site = federation.names.index(teacher.site)
        known = federation.known(site)
        mine = [(i, teacher.columns.get(int(item["label"]))) for i, item in enumerate(known.images)]
        keep = [i for i, column in mine if column is not None]
        images += [{**known.images[i], "label": teacher.columns[int(known.images[i]["label"])]} for i in keep]
        members.append(known.members[keep])
        included.append(known.included[:, keep])
    return images, np.concatenate(members), np.concatenate(included, 1)


def _with_teachers(case: Case, networks: dict[str, nn.Module]) -> Case:
    """The same case with other weights for some teachers; what they know was known before."""
    teachers = [
        replace(t, model=replace(t.model, network=networks.get(t.site, t.model.network)))
        for t in case.teachers
    ]
    return replace(case, teachers=teachers, kept={})


def _save(part: Path, columns: dict[str, NDArray[Any]]) -> None:
    with part.open("wb") as file:
        np.savez(file, **columns)  # type: ignore[arg-type]
