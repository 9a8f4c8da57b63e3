"""The method: from a student, its participants and the settings to a network that knows the queried classes.

QKT (Alballa et al., ICLR 2025, arXiv 2504.09205) with our additions; docs/explanation/method.md keeps the two
apart. A transfer at a site and a benchmark run these very steps, in this order: ``learn``, ``refine``, and
then the forgetting budget is spent, see ``forgetting_budget``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai.data import Dataset
from torch import Tensor, nn

from clinical_qkt.data.label_space import align
from clinical_qkt.networks.committee import Committee
from clinical_qkt.networks.gaussian_classifier import GaussianClassifier
from clinical_qkt.packages.derived import DerivedModel
from clinical_qkt.packages.model import CardedNetwork
from clinical_qkt.qkt import distillation, hard_augmentation, head_imitation, subclasses, targets
from clinical_qkt.qkt.forgetting_budget import BudgetFit, Promise, first_within_budget, fit_to_budget
from clinical_qkt.qkt.held_out import HeldOut
from clinical_qkt.qkt.own_classes import settled
from clinical_qkt.qkt.settings import TransferSettings
from clinical_qkt.qkt.student import OWN, Student, StudentImages
from clinical_qkt.qkt.teachers import Teacher, relevant_teachers, starting_point
from clinical_qkt.query.aggregate import TakenIn
from clinical_qkt.query.by_fold import cross_fitted
from clinical_qkt.training.inference import labels_of

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
class Base:
    """What a transfer goes on from: the student's own model, or what statistics made of it.

    Attributes:
        cross_fitted: ``(training images, its classes)`` logits of such models that were not fitted to the
            image, see ``held_out``; None: there are none.
        compared: ``(training images, local)`` logits of the model before that these are held against; None:
            ``Student.own_held_out``.
    """

    model: CardedNetwork
    cross_fitted: Tensor | None = None
    compared: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Learnt:
    """What was learnt before the head is refined.

    Attributes:
        network: with a row for each of the student's classes and the queried ones.
        start: what it was before anything was trained; its card says which images the network takes.
        images: with soft targets; None if nothing is trained.
        cross_fitted: ``(training images, C)`` logits of such networks that were not fitted to the image;
            None where that would not be honest.
        compared: see ``Base``.
    """

    network: nn.Module
    start: CardedNetwork
    images: Dataset | None = None
    cross_fitted: Tensor | None = None
    compared: Tensor | None = None


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
    base: Base,
    participants: Sequence[Teacher],
    settings: TransferSettings,
    around: Surroundings | None = None,
) -> Learnt:
    """What the participants know, in one network; phase 1.

    Raises:
        PackageError: a participant cannot take part, or gives NaN or infinity.
        InputError: there are too many participants or classes.
    """
    around = around or Surroundings()
    settings = head_imitation.as_far_as_needed(settings, student, participants)
    if settings.heads == "each":
        base = _with_heads(student, images, participants, settings, around)
    network, start = starting_point(
        base.model, participants, student.labels, student.query, settings.begins_with
    )
    around.started(network, start)
    if not settings.trains:
        by_fold = _cross_fitted(student, images, base, participants, settings, around)
        if isinstance(network, Committee):
            start, by_fold = settled(student, images, start, base.model, by_fold, base.cross_fitted)
            network = start.network
        return Learnt(network, start, cross_fitted=by_fold, compared=base.compared)
    given = start.card.input
    with around.step(TARGETS):
        found = around.kept("targets", lambda: soft_targets(student, images, participants, settings))
        taught = targets.with_targets(images.prepared("training", given), **found)
    asked = hard_augmentation.asked(student, participants, given, settings)
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
            (given, asked) if settings.hard_augmentation else None,
        )
    return Learnt(network, start, taught)


def statistics_base(student: Student, images: StudentImages, model: DerivedModel, found: TakenIn) -> Base:
    """What a transfer goes on from where responses with statistics were taken in.

    Args:
        model, found: as ``aggregate.with_responses`` gives them.
    """
    if student.own_held_out is None:
        return Base(model)
    assert isinstance(model.network, GaussianClassifier)
    labels = labels_of(images.prepared("training", student.own.card.input))
    about = found.choice, found.queried, found.features, labels, student.own_held_out, student.seed
    return Base(model, cross_fitted(model.network, *about, images.patients("training")))


def refine(student: Student, learnt: Learnt, settings: TransferSettings) -> None:
    """Phase 2, its first half: the head is retrained on frozen features; in place."""
    if learnt.images is not None:
        distillation.retrain_head(
            learnt.network, learnt.images, student.query, settings, student.seed, student.device
        )


def held_out(student: Student, images: StudentImages, network: nn.Module, learnt: Learnt) -> HeldOut:
    """The images on which the new model's forgetting is measured before it is tested.

    Args:
        network: the new model's.
        learnt: before its head was refined.
    """
    given, own = learnt.start.card.input, student.own
    shown, seen = (images.prepared("validation", of) for of in (given, own.card.input))
    about = labels_of(shown), student.local, images.patients("validation")
    said = student.said(network, shown, "validation images")
    found = HeldOut.of(said, student.said(own.network, seen), *about)
    if learnt.cross_fitted is None or student.own_held_out is None:
        return found
    labels = labels_of(images.prepared("training", own.card.input))
    return found + HeldOut.of(
        learnt.cross_fitted,
        student.own_held_out if learnt.compared is None else learnt.compared,
        labels,
        student.local,
        images.patients("training"),
        cross_fitted=True,
    )


def within_budget(
    student: Student, images: StudentImages, learnt: Learnt, settings: TransferSettings
) -> BudgetFit:
    """How far the forgetting budget lets the queried classes' biases be raised; nothing is changed."""
    promise = Promise.of(student.forgetting_budget, settings)
    return fit_to_budget(held_out(student, images, learnt.network, learnt), student.query, promise)


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
) -> Base:
    """One network with a head for each model; whose network bears them is chosen by the forgetting budget."""
    with around.step(TARGETS):
        logits = dict(around.kept("logits", lambda: images.logits(participants)))
    with around.step(HEADS):
        made = head_imitation.imitations(
            student,
            lambda given: images.prepared("training", given),
            participants,
            logits,
            logits.pop(OWN),
            settings.start_from,
            images.patients("training"),
        )
        tried: list[Base] = []

        def fits() -> Iterator[BudgetFit]:
            for imitation in made:
                base = Base(imitation.model, imitation.cross_fitted, imitation.compared)
                tried.append(base)
                whole = Learnt(base.model.network, base.model, None, base.cross_fitted, base.compared)
                yield within_budget(student, images, whole, settings)

        return tried[first_within_budget(fits())]


def _cross_fitted(
    student: Student,
    images: StudentImages,
    base: Base,
    participants: Sequence[Teacher],
    settings: TransferSettings,
    around: Surroundings,
) -> Tensor | None:
    """Logits of the training images, ``(N, C)``, of networks that are made as the new one is, by fold.

    Other sites' models never saw the student's images: only the base has to be without them.
    """
    if base.cross_fitted is None or settings.begins_with == "teacher":
        return None
    columns = align(base.model.card.labels, student.labels)
    at = [columns[row] for row in range(base.cross_fitted.shape[1])]
    if settings.begins_with == "committee" and participants:
        with around.step(TARGETS):
            logits = dict(around.kept("logits", lambda: images.logits(participants)))
        said = targets.soft_targets(
            participants, logits, base.cross_fitted, student.labels, "joint", own_columns=at
        )
        return said[:, 0]
    if sorted(at) != list(range(len(student.labels))):  # a class is still to be learnt
        return None
    return base.cross_fitted[:, [at.index(c) for c in range(len(at))]]
