"""The method: from a student, its participants and the settings to a network that knows the queried classes.

QKT (Alballa et al., ICLR 2025, arXiv 2504.09205) with our additions; docs/explanation/method.md keeps the two
apart. A transfer at a site and a benchmark run these very steps, in this order: ``learn``, ``refine``, and
then the forgetting budget is spent, see ``forgetting_budget``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai.data import Dataset
from torch import Tensor, nn

from clinical_qkt.packages.model import CardedNetwork
from clinical_qkt.qkt import distillation, subclasses, targets
from clinical_qkt.qkt.head_imitation import with_heads
from clinical_qkt.qkt.settings import TransferSettings
from clinical_qkt.qkt.student import OWN, Student, StudentImages
from clinical_qkt.qkt.teachers import Teacher, relevant_teachers, starting_point

HEADS, TARGETS, DISTILLATION = "heads", "targets", "phase 1: distillation"
"""The steps that take long, as they are told."""


class Surroundings:
    """What goes on around the steps. Here nothing does; a site times, logs and keeps them.

    Attributes:
        work: a folder for checkpoints, if there is one.
    """

    work: Path | None = None

    def step(self, name: str) -> AbstractContextManager[Sequence[Any]]:
        """Around a step that takes long; gives further ignite handlers for its training."""
        return nullcontext(())

    def started(self, network: nn.Module, start: CardedNetwork) -> None:
        """Before anything is trained: what the new network will be, and whose it was."""

    def kept(self, name: str, make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        """Tensors that took long to compute."""
        return make()


@dataclass(frozen=True, eq=False)
class Learnt:
    """What was learnt before the head is refined.

    Attributes:
        network: with a row for each of the student's classes and the queried ones.
        start: what it was before anything was trained; its card says which images the network takes.
        images: with soft targets; None if nothing is trained.
    """

    network: nn.Module
    start: CardedNetwork
    images: Dataset | None


def participants(
    teachers: Sequence[Teacher], student: Student, settings: TransferSettings, responded: Sequence[int] = ()
) -> list[Teacher]:
    """The teachers that take part: all, or those that know a queried class.

    Args:
        responded: queried classes that a site sent statistics of: no teacher has to know them.

    Raises:
        QueryError: names the queried classes that nobody knows.
    """
    relevant = relevant_teachers(
        teachers, student.labels, student.query, settings.teachers_per_class, responded
    )
    return relevant if settings.participants == "relevant" else list(teachers)


def learn(
    student: Student,
    images: StudentImages,
    base: CardedNetwork,
    participants: Sequence[Teacher],
    settings: TransferSettings,
    around: Surroundings | None = None,
) -> Learnt:
    """What the participants know, in one network; phase 1.

    Args:
        base: the student's own model, or what statistics made of it.

    Raises:
        PackageError: a participant cannot take part, or gives NaN or infinity.
        InputError: there are too many participants or classes.
    """
    around = around or Surroundings()
    if settings.heads == "each":
        base = _with_heads(student, images, participants, settings, around)
    network, start = starting_point(base, participants, student.labels, student.query, settings.begins_with)
    around.started(network, start)
    if not settings.trains:
        return Learnt(network, start, None)
    given = start.card.input
    with around.step(TARGETS):
        found = around.kept("targets", lambda: soft_targets(student, images, participants, settings))
        taught = targets.with_targets(images.prepared("training", given), **found)
    with around.step(DISTILLATION) as handlers:
        network = distillation.distil(
            network,
            taught,
            student.augment,
            images.prepared("validation", given),
            student.query,
            settings,
            student.seed,
            student.device,
            around.work,
            handlers,
        )
    return Learnt(network, start, taught)


def refine(student: Student, learnt: Learnt, settings: TransferSettings) -> None:
    """Phase 2, its first half: the head is retrained on frozen features; in place."""
    if learnt.images is not None:
        distillation.retrain_head(
            learnt.network, learnt.images, student.query, settings, student.seed, student.device
        )


def soft_targets(
    student: Student,
    images: StudentImages,
    participants: Sequence[Teacher],
    settings: TransferSettings,
) -> dict[str, Tensor]:
    """What the participants and the own model hold of the training images, a row an image.

    Returns:
        ``soft_targets`` ``(N, T, C)``, ``own`` ``(N, local)``, with ``subclass`` also ``parts``; see
        ``targets`` and ``subclasses``.
    """
    logits = images.logits(participants)
    own = logits.pop(OWN)
    said = targets.soft_targets(
        participants, logits, own, student.labels, settings.soft_targets, *settings.veil
    )
    found = {"soft_targets": said, "own": own}
    if settings.subclass > 1:
        features = images.features(participants)
        found["parts"] = subclasses.of_teachers(participants, features, said, settings.subclass)
    return found


def _with_heads(
    student: Student,
    images: StudentImages,
    participants: Sequence[Teacher],
    settings: TransferSettings,
    around: Surroundings,
) -> CardedNetwork:
    with around.step(TARGETS):
        logits = dict(around.kept("logits", lambda: images.logits(participants)))
    with around.step(HEADS):
        return with_heads(student, images, participants, logits, logits.pop(OWN), settings)
