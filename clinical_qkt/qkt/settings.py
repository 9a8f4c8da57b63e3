"""Every choice of the method: the section ``settings`` of a bundle's ``transfer.yaml``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from clinical_qkt.core.values import Strict
from clinical_qkt.qkt import knowledge_masks
from clinical_qkt.qkt.losses import DivergenceName
from clinical_qkt.qkt.targets import Combination
from clinical_qkt.qkt.teachers import Start
from clinical_qkt.statistics.gaussian_heads import Head


class TransferSettings(Strict):
    """Every choice of the method; the section ``settings`` of a bundle's ``transfer.yaml``.

    Attributes:
        variant: a name for this set of choices, logged with the results.
        participants: which teachers take part: ``relevant``, those that know a queried class, or ``all``.
        soft_targets: ``joint``: one opinion of all participants and the own model (ours); ``each``: one a
            teacher, the divergences from which are averaged; see ``targets.soft_targets``.
        start_from: ``committee``: all models that take part, as one network (ours); ``teacher``: the network
            of the relevant teacher that shares most classes with the student (ours); ``own``: the student's.
        heads: ``one``: the network's own; ``each``: one linear head for each model that takes part, on one
            network's stages, and nothing else is trained (ours); see ``head_imitation``. ``start_from`` says
            whose network: with ``teacher`` a relevant one's if the forgetting budget lets it, else the own;
            if all differ in their heads alone, these are taken as they are.
        teachers_per_class: with ``participants: relevant``, only so many a queried class, those that know
            most of the student's classes; all if None.
        divergence: from the teachers' soft targets: ``evidence``, ``logit`` (ours), ``kl``, ``reverse_kl``,
            ``balanced`` or ``interpolated``; see ``losses``.
        label_weight, divergence_weight, self_weight: of the cross-entropy, of that, and of keeping the
            student's own earlier logits.
        temperature: of the divergences between softmaxes.
        private_temperature, soft_target_noise: how far the soft targets are softened where a teacher is
            unusually certain, 1 for not at all, and noised, 0 for not at all; see ``targets.veiled``.
        hard_augmentation: how many looks are drawn for each image in a step of phase 1, of which the student
            is shown the one that it and the teachers disagree about most, after HARD; 0 for none, and then
            the teachers' answers are those to the plain image; see ``hard_augmentation``.
        subclass: into how many parts each of a teacher's classes is split along its embedding, as further
            targets of phase 1; 1 for none; see ``subclasses``.
        max_epochs, learning_rate, batch_size: of phase 1; 0 epochs leave it out.
        refine_epochs, refine_learning_rate: of the head's retraining in phase 2.
        confidence: how sure it must be, by the images that are held out, that new images lose no more than
            the forgetting budget on average, and no class more than its own limit; see ``forgetting_budget``.
        worst_factor: that limit, as a multiple of the forgetting budget.
        head: made of class statistics: ``linear``, ``quadratic``, ``replay``, or ``auto``: quadratic if
            every queried class came with a covariance, else linear; see ``gaussian_heads``.
        shrinkage: of a quadratic head's covariances; chosen on own validation images if None.
        harmonise: each teacher sees the student's images in the look of its own training images, if its card
            tells that and theirs is another (ours); see ``teacher_looks``.
        mask_statistic, mask_threshold, probes: which score on probes, what a known class reaches at least,
            number of probes; see ``knowledge_masks``.
    """

    RENAMED: ClassVar[Mapping[str, str]] = {
        "ask": "participants",
        "answers": "soft_targets",
        "answer_noise": "soft_target_noise",
    }
    REMOVED: ClassVar[Mapping[str, str]] = {
        "reserve": "take it out; how sure it must be that the budget is kept is said by 'confidence' now"
    }

    variant: str = "committee"
    participants: Literal["all", "relevant"] = "all"
    soft_targets: Combination = "joint"
    start_from: Start = "committee"
    heads: Literal["one", "each"] = "one"
    teachers_per_class: int | None = Field(default=None, ge=1)
    divergence: DivergenceName = "evidence"
    label_weight: float = Field(default=1.0, ge=0)
    divergence_weight: float = Field(default=0.1, ge=0)
    self_weight: float = Field(default=0.0, ge=0)
    temperature: float = Field(default=2.0, gt=0)
    private_temperature: float = Field(default=1.0, ge=1)
    soft_target_noise: float = Field(default=0.0, ge=0)
    hard_augmentation: int = Field(default=0, ge=0, le=16, exclude_if=lambda looks: looks == 0)
    subclass: int = Field(default=1, ge=1, le=8)
    max_epochs: int = Field(default=0, ge=0)
    learning_rate: float = Field(default=2e-3, gt=0)
    batch_size: int = Field(default=64, ge=2)
    refine_epochs: int = Field(default=0, ge=0)
    refine_learning_rate: float = Field(default=1e-2, gt=0)
    confidence: float = Field(default=0.75, ge=0.5, lt=1)
    worst_factor: float = Field(default=2.5, ge=1)
    head: Head = "auto"
    shrinkage: float | None = Field(default=0.75, ge=0, le=1)
    harmonise: bool = True
    mask_statistic: knowledge_masks.Statistic = "peak"
    mask_threshold: float = Field(default=knowledge_masks.THRESHOLD, gt=0, lt=1)
    probes: int = Field(default=2048, ge=8)

    @model_validator(mode="after")
    def _heads_alone(self) -> TransferSettings:
        if self.heads == "each" and (self.max_epochs or self.refine_epochs or self.start_from == "committee"):
            raise ValueError(
                "heads: 'each' trains nothing else: set 'max_epochs' and 'refine_epochs' to 0, and "
                "'start_from' to 'teacher' or 'own'"
            )
        return self

    @model_validator(mode="after")
    def _nothing_but_soft_targets(self) -> TransferSettings:
        if self.veil != (1, 0) and not (self.trains and self.start_from == "own"):
            raise ValueError(
                "private_temperature and soft_target_noise protect nothing where the new model holds a "
                "teacher's weights: set 'start_from: own' and train ('max_epochs')"
            )
        return self

    @model_validator(mode="after")
    def _parts_of_a_teachers_classes(self) -> TransferSettings:
        if self.subclass > 1 and not (
            self.max_epochs and self.soft_targets == "each" and self.divergence_weight
        ):
            raise ValueError(
                "subclass: parts of a class are learnt from each teacher in phase 1: set "
                "'soft_targets: each', 'max_epochs' and 'divergence_weight'"
            )
        if self.subclass > 1 and self.veil != (1, 0):
            raise ValueError("subclass: a teacher's embedding is not veiled: leave out one of the two")
        return self

    @model_validator(mode="after")
    def _asked_of_changed_images(self) -> TransferSettings:
        if self.hard_augmentation and not (self.max_epochs and self.divergence_weight):
            raise ValueError(
                "hard_augmentation: images are changed in phase 1: set 'max_epochs' and 'divergence_weight'"
            )
        if self.hard_augmentation and self.start_from == "committee":
            raise ValueError(
                "hard_augmentation: a committee's members are the teachers themselves, which cannot be asked "
                "while they are trained: set 'start_from' to 'teacher' or 'own'"
            )
        if self.hard_augmentation and (self.subclass > 1 or self.veil != (1, 0)):
            raise ValueError(
                "hard_augmentation: teachers are asked anew in each step, and 'subclass', "
                "'private_temperature' and 'soft_target_noise' belong to answers that are given once"
            )
        return self

    @property
    def veil(self) -> tuple[float, float]:
        """What ``targets.veiled`` does to the teachers' soft targets: temperature and noise."""
        return self.private_temperature, self.soft_target_noise

    @property
    def trains(self) -> bool:
        """Whether any weight is trained by gradients."""
        return self.max_epochs > 0 or self.refine_epochs > 0

    @property
    def begins_with(self) -> Start:
        """What is gone on with: with ``heads: each`` the network that bears them."""
        return "own" if self.heads == "each" else self.start_from

    @property
    def seats_all(self) -> bool:
        """Whether all teachers are to sit in a committee, whatever the probes say of them."""
        return self.begins_with == "committee" and self.participants == "all"

    @property
    def learns(self) -> bool:
        """Whether anything is learnt from the teachers' soft targets on training images."""
        return self.trains or self.heads == "each"
