"""What every method is given, and what it returns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol

from pydantic import Field
from torch import Tensor, nn

from clinical_qkt.core.errors import InputError
from clinical_qkt.core.values import Strict
from clinical_qkt.data.inputs import InputContract
from clinical_qkt.data.label_space import LabelSpace, SiteClass
from clinical_qkt.data.wholes import SiteList
from clinical_qkt.networks.extractor import Extractor, Pooling
from clinical_qkt.packages.model import Model
from clinical_qkt.qkt.student import OWN, Student
from clinical_qkt.qkt.teachers import Teacher
from clinical_qkt.training.inference import Images, head_inputs, outputs_of
from clinical_qkt.training.loop import train


@dataclass(frozen=True)
class Member:
    """A site of a simulated federation as averaging methods need it: with its training images.

    Only a simulation can hand these over; in the field each round would run at the sites.
    """

    model: Model
    training: list[dict[str, Any]]
    wholes: Sequence[SiteClass] = ()

    @property
    def labels(self) -> LabelSpace:
        """Its classes, and those that it answers for besides."""
        return SiteList(self.model.card.labels, self.wholes)


class Said(Protocol):
    """What some networks say of images, which is not computed each time anew."""

    def logits(self, network: nn.Module, items: Any, /) -> Tensor:
        """``(N, classes)``, by the network's head alone."""

    def knows(self, network: nn.Module, /) -> bool:
        """Whether a network, or each of several that are joined, is such a one but for its head."""


class Known(Said, Protocol):
    """What is known of images beforehand, where all sites have one frozen network, but for its head."""

    def head_inputs(self, items: Any, /) -> Tensor:
        """``(N, features)``: what arrives at the network's head."""

    def pooled(self, body: Pooling, items: Any) -> Tensor:
        """``(N, pooled)`` float64, before the map of an extractor."""

    def mapped(self, made: Callable[[], Extractor], network: nn.Module, how: Any, items: Any, /) -> Extractor:
        """An extractor of a site's network, whose map was made of these images before, or is made now."""


@dataclass(frozen=True, kw_only=True)
class Case(Student):
    """A student with all that a method may use for it.

    Attributes:
        teachers: all other sites' models, probed and aligned to ``labels``.
        view: images that are prepared for one model as another model's contract asks for them.
        federation: all sites with their training images, the student's first; for averaging methods, and
            for methods in which each site computes something of its own.
        in_own_look: the same sites with their images in the student's look: what undoing a difference of
            looks could reach at best. Only a simulation of looks can tell.
        kept: for what several methods need of one case, so that it is computed once.
        known: what is known of images beforehand, since all sites have one frozen network; None: nothing.
        seen: what the sites' networks said of images before, where they have several; None: nothing is kept.
        shared: a folder for what is the same for every query of the federation (rounds of averaging).
    """

    training: list[dict[str, Any]]
    validation: list[dict[str, Any]]
    teachers: list[Teacher]
    shared: Path
    view: Callable[[Images, InputContract], Images] = lambda images, _: images
    federation: Callable[[], list[Member]] = field(default=list)
    in_own_look: Callable[[], list[Member]] = field(default=list)
    kept: dict[Any, Any] = field(default_factory=dict)
    known: Known | None = None
    seen: Said | None = None

    def numbers(self, extractor: Extractor, images: Images) -> tuple[Tensor, Tensor]:
        """Logits ``(N, own)`` and features ``(N, D)`` of images that are prepared for the own model.

        In the precision of the extractor's map.
        """
        if self.known is None:
            return outputs_of(extractor, images, self.device)
        pooled = self.known.pooled(extractor, images).to(extractor.center.dtype)
        features = (pooled - extractor.center) @ extractor.projection
        return self.known.logits(extractor.network, images), features

    def said(self, network: nn.Module, images: Images, what: str = "logits") -> Tensor:
        """``(N, classes)``: what a network says of images prepared for it."""
        before = self.seen if self.known is None else self.known
        if before is None or not before.knows(network):
            return super().said(network, images, what)
        return before.logits(network, images)

    def in_views(self, body: Pooling, images: Images) -> Tensor:
        if self.known is None:
            return super().in_views(body, images)
        return self.known.pooled(body, images)  # changed images are not known

    @cached_property
    def logits(self) -> dict[str, Tensor]:
        """Each teacher's logits on the training images, ``{site: (N, its classes)}``: computed once."""
        return {t.site: self.logits_of(t.model, self.training) for t in self.teachers}

    def logits_of(self, model: Model, images: Images) -> Tensor:
        """``(N, its classes)`` logits of any site's model, which sees the images as its card asks."""
        return self.said(model.network, self.view(images, model.card.input))

    def features(self, model: Model) -> Tensor:
        """``(N, its features)``: what any site's model gives its head for the student's training images."""
        return head_inputs(model.network, self.view(self.training, model.card.input), self.device)

    @cached_property
    def own_logits(self) -> Tensor:
        """The student's own logits on its training images, ``(N, local)``."""
        return self.said(self.own.network, self.training)

    def train(
        self,
        network: nn.Module,
        items: Sequence[dict[str, Any]],
        loss: Callable[[Any, dict[str, Tensor]], Tensor],
        settings: TrainingSettings,
        what: str,
        **changes: Any,
    ) -> nn.Module:
        """``loop.train`` with the case's augmentation, seed and device and a method's settings.

        Args:
            what: named in the progress bar.
            changes: other arguments of ``loop.train`` than those that settings and case give.
        """
        how = {
            "max_epochs": settings.max_epochs,
            "learning_rate": settings.learning_rate,
            "batch_size": settings.batch_size,
            "seed": self.seed,
            **changes,
        }
        return train(network, items, self.augment, loss, device=self.device, what=what, **how)

    def require_one_architecture(self, method: str) -> None:
        """
        Raises:
            InputError: if weights cannot be averaged, because a site's network or input differs from the
            student's.
        """
        own = self.own.card
        for teacher in self.teachers:
            card = teacher.model.card
            if (card.network, card.input) != (own.network, own.input):
                raise InputError(
                    f"weights of '{teacher.site}' ({teacher.model.card.network.name}) cannot be averaged "
                    f"with the student's ({self.own.card.network.name})",
                    where=f"method '{method}'",
                    fix="leave the method out, or give all sites one architecture",
                )

    def require_no_declarations(self, method: str) -> None:
        """
        Raises:
            InputError: a class has synonyms or parts, which a method cannot use that takes one row a class.
        """
        for label in self.labels:
            other = next(iter(label.meanings[1:]), None)
            if other is not None:
                raise InputError(
                    f"cannot tell that '{label.name}' stands for '{other.name}' too",
                    where=f"method '{method}'",
                    fix="leave the method out, or give all sites the same list of classes",
                )


@dataclass(frozen=True)
class CaseImages:
    """A case's images, and the logits that it has of them, as ``qkt.method`` takes them."""

    case: Case

    def prepared(self, section: Literal["training", "validation"], given: InputContract) -> Images:
        images = self.case.training if section == "training" else self.case.validation
        return self.case.view(images, given)

    def patients(self, section: Literal["training", "validation"]) -> None:
        return None  # every image counts as a patient's

    def logits(self, teachers: Sequence[Teacher]) -> dict[str, Tensor]:
        return {**{t.site: self.case.logits[t.site] for t in teachers}, OWN: self.case.own_logits}

    def features(self, teachers: Sequence[Teacher]) -> dict[str, Tensor]:
        return {t.site: self.case.features(t.model) for t in teachers}


class TrainingSettings(Strict):
    """How long and how fast a method trains; the same for all, unless a config says otherwise."""

    max_epochs: int = Field(default=8, ge=1)
    learning_rate: float = Field(default=3e-3, gt=0)
    batch_size: int = Field(default=16, ge=2)


@dataclass(frozen=True)
class Outcome:
    """What a method came to.

    Attributes:
        predict: from images to ``(N, len(labels))`` logits, columns as in ``Case.labels``. The forgetting
            budget is spent on them afterwards, in the same way for each method.
        teachers_used: models of other sites that had a part in it.
        bytes_received: what the student received from elsewhere.
        seconds: spent on what is shared by several queries, to be added to the query's own time.
        cross_fitted: ``(N training images of the case, C)`` logits of models like the method's that were not
            fitted to the image; rows of queried images count for nothing. None where that is not honest, or
            not cheap: then validation images alone are held out.
        compared: the own model's logits, ``(N training images, local)``, that these are held against;
            ``Case.own_held_out`` if None.
        looks: of each answer that it was made of, how the site's images look, see ``harmonised.Told.row``.
    """

    predict: Callable[[Images], Tensor]
    teachers_used: int
    bytes_received: int
    seconds: float = 0.0
    cross_fitted: Tensor | None = None
    compared: Tensor | None = None
    looks: list[dict[str, Any]] = field(default_factory=list)


def of_network(
    case: Case,
    network: nn.Module,
    used: Sequence[Teacher],
    received: int | None = None,
    given: InputContract | None = None,
) -> Outcome:
    """The outcome of a method that ends with one network.

    Args:
        used: the teachers whose answers or weights had a part in it.
        received: bytes; by default all teachers' packages, since all had to be there to be probed.
        given: what the network expects of images; by default what the student's own model does.
    """
    expects = given or case.own.card.input
    everything = sum(t.model.bytes for t in case.teachers)
    return Outcome(
        lambda images: case.said(network, case.view(images, expects)),
        len(used),
        everything if received is None else received,
    )
