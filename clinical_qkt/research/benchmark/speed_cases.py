"""What ``speed`` measures: each way of gaining a class, or of answering, as a function that can be timed.

Networks are untrained and images are noise: speed does not depend on what they show.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from clinical_qkt.core.batches import images_at_once
from clinical_qkt.data.inputs import InputContract
from clinical_qkt.data.label_space import ClassLabel, LabelSpace
from clinical_qkt.data.transforms import symmetries
from clinical_qkt.networks.extractor import Extractor
from clinical_qkt.networks.gaussian_classifier import GaussianClassifier
from clinical_qkt.networks.spec import NetworkSpec, find_head, preset, reshape_head
from clinical_qkt.packages.card import Card
from clinical_qkt.packages.derived import DerivedModel
from clinical_qkt.packages.model import Model
from clinical_qkt.qkt import distillation, knowledge_masks
from clinical_qkt.qkt.head_imitation import imitations
from clinical_qkt.qkt.losses import TransferLoss
from clinical_qkt.qkt.settings import TransferSettings
from clinical_qkt.qkt.student import Student
from clinical_qkt.qkt.targets import aligned, with_targets
from clinical_qkt.qkt.teachers import Teacher, committee, relevant_teachers
from clinical_qkt.query.aggregate import fitted
from clinical_qkt.query.patient_batches import looked_at, of_images
from clinical_qkt.query.request import own_extractor
from clinical_qkt.statistics.class_statistics import ClassStatistics, Moments, class_statistics, pooled
from clinical_qkt.tasks.single_label import SINGLE_LABEL
from clinical_qkt.training.inference import features_of, logits_of
from clinical_qkt.training.loop import train

CLASSES, QUERY = 5, [4]
LOCAL = [c for c in range(CLASSES) if c not in QUERY]


class Together(nn.Module):
    """A student that takes its teachers along in every step, as a naive loop does."""

    def __init__(self, student: nn.Module, teachers: list[nn.Module]) -> None:
        super().__init__()
        self.student, self.teachers = student, teachers  # a plain list: nothing of theirs is trained

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            said = torch.stack([t(images) for t in self.teachers], 1)
        return self.student(images), said


@dataclass(frozen=True)
class Cases:
    """Images, networks, and what is done with them.

    Attributes:
        spec: of each network.
        pictures: ``(N, 3, pixels, pixels)``.
        networks: for all classes.
        epochs: of each training.
    """

    spec: NetworkSpec
    pictures: Tensor
    networks: list[nn.Module]
    epochs: int
    device: torch.device
    labels: LabelSpace = field(default_factory=lambda: LabelSpace([f"class {c}" for c in range(CLASSES)]))

    @classmethod
    def of(
        cls,
        images: int,
        epochs: int,
        device: torch.device,
        network: str = "resnet_small",
        pixels: int = 28,
        networks: int = 16,
    ) -> Cases:
        """So many images of noise, and so many networks of a preset."""
        torch.manual_seed(0)
        pictures = torch.rand(images, 3, pixels, pixels) * 2 - 1
        spec = preset(network, 3, [pixels] * 2)
        made = [spec.build(CLASSES).to(device).eval() for _ in range(networks)]
        return cls(spec, pictures, made, epochs, device)

    def ways(self) -> dict[str, Callable[[], Any]]:
        """What is timed, by name."""
        ways: dict[str, Callable[[], Any]] = {"plain fine-tuning": self.plain}
        for n in (1, 4, 16):
            ways[f"transfer, {n} relevant"] = partial(self.transfer, n, n)
            ways[f"heads, {n} relevant"] = partial(self.heads, n)
            ways[f"naive loop, {n} relevant"] = partial(self.naive, n)
        together = self.together(4)
        ways["probing one model for its mask"] = self.probing
        ways["one network answers"] = partial(self.logits, self.networks[0])
        ways["own model and 4 teachers answer"] = partial(self.logits, together)
        ways["a network with heads for 4 teachers answers"] = partial(self.logits, self.heads(4).network)
        ways["statistics of a site's images"] = self.statistics
        ways["a head of 4 sites' statistics"] = self.head_of_statistics
        ways["a classifier made of statistics answers"] = partial(self.logits, self.head_of_statistics())
        ways["transfer, 4 relevant of 8"] = partial(self.transfer, 4, 8)
        ways["transfer, 4 relevant of 64"] = partial(self.transfer, 4, 64)
        return ways

    def together(self, teachers: int) -> nn.Module:
        """The own model and so many teachers as one network."""
        return committee(self.site, self.teachers(teachers, teachers), self.labels).network

    @cached_property
    def size(self) -> list[int]:
        return list(self.pictures.shape[2:])

    @cached_property
    def items(self) -> list[dict[str, Any]]:
        return [{"image": picture, "label": i % len(LOCAL)} for i, picture in enumerate(self.pictures)]

    @cached_property
    def site(self) -> Model:
        """The student's own model."""
        own = reshape_head(self.networks[-1], {c: c for c in LOCAL}, len(LOCAL))
        return self.model("student", own, len(LOCAL))

    @cached_property
    def extractor(self) -> Extractor:
        return own_extractor(self.site, None, self.items, self.device)[0]

    @cached_property
    def seen(self) -> tuple[Tensor, Tensor]:
        """Features of the images, and their labels."""
        return (
            features_of(self.extractor, self.items, self.device),
            torch.arange(len(self.items)) % len(LOCAL),
        )

    @cached_property
    def received(self) -> list[ClassStatistics]:
        """Four sites' statistics."""
        return [class_statistics(self.seen[0] + k) for k in range(4)]

    def logits(self, network: nn.Module) -> Tensor:
        return logits_of(network, self.items, self.device)

    def plain(self) -> None:
        """Fine-tuning on the labels alone."""
        loss = lambda logits, targets: SINGLE_LABEL.loss(logits[:, LOCAL], targets)  # noqa: E731
        self._train(self.network(), loss)

    def transfer(self, relevant: int, sites: int) -> None:
        """As it is done: every teacher is asked once."""
        found = relevant_teachers(self.teachers(relevant, sites), self.labels, QUERY)
        said = [aligned(self.logits(t.model.network), t.columns, t.known, CLASSES) for t in found]
        own = torch.zeros(len(self.items), len(LOCAL))
        data = with_targets(self.items, torch.stack(said, 1), own)
        settings = TransferSettings(max_epochs=self.epochs)
        distillation.distil(
            self.network(), data, symmetries(self.size), self.items[:64], QUERY, settings, 0, self.device
        )

    def heads(self, teachers: int) -> DerivedModel:
        """One network with a head for each model."""
        student = Student(
            own=self.site,
            labels=self.labels,
            query=list(QUERY),
            augment=symmetries(self.size),
            seed=0,
            device=self.device,
        )
        others = self.teachers(teachers, teachers)
        said = {t.site: self.logits(t.model.network) for t in others}
        own = self.logits(self.site.network)
        return next(imitations(student, lambda _: self.items, others, said, own, "own")).model

    def naive(self, relevant: int) -> None:
        """A loop that asks every teacher in every step."""
        student = Together(self.network().to(self.device), self.networks[:relevant])
        kind = TransferLoss(
            LOCAL, QUERY, kind="evidence", divergence_weight=0.1, self_weight=0, temperature=2
        )
        self._train(student, lambda both, targets: kind(both[0], {**targets, "soft_targets": both[1]}))

    def statistics(self) -> None:
        """As ``contributions`` makes an exact response, in this process alone."""
        extractor, given = self.extractor, self.site.card.input
        moments = Moments(extractor.spec.features)
        listed = [{"image": str(i), "label": 0, "patient": str(i)} for i in range(len(self.items))]
        shape = self.pictures[0].shape
        batches = of_images(listed, images_at_once(extractor, shape, self.device, step=extractor.features))
        read = lambda item: self.items[int(item["image"])]  # noqa: E731
        for found in looked_at(batches, extractor, given, read, self.device, 0):
            moments.update(found.features)
        moments.statistics()

    def head_of_statistics(self) -> GaussianClassifier:
        """A classifier made of four sites' statistics."""
        return fitted(
            self.site, self.extractor, [pooled(self.received)], self.seen, self.seen, "quadratic", 0.75, 0
        )[0]

    def probing(self, probes: int = 2048) -> None:
        """One model, for its knowledge mask."""
        knowledge_masks.knowledge_scores(
            self.networks[0], 3, self.size, -1, 1, count=probes, device=self.device
        )

    def _train(self, network: nn.Module, loss: Callable[..., Tensor]) -> None:
        settings = TransferSettings(max_epochs=self.epochs)
        train(
            network,
            self.items,
            symmetries(self.size),
            loss,
            max_epochs=self.epochs,
            learning_rate=settings.learning_rate,
            batch_size=settings.batch_size,
            seed=0,
            device=self.device,
            what="speed",
        )

    def network(self) -> nn.Module:
        """Another one, untrained."""
        return self.spec.build(CLASSES)

    def teachers(self, relevant: int, sites: int) -> list[Teacher]:
        """Teachers of which the first know all classes, the others all but the queried one."""
        columns = {c: c for c in range(CLASSES)}
        found = []
        for i in range(sites):
            model = self.model(f"hospital_{i}", self.networks[i % len(self.networks)], CLASSES)
            known = [i < relevant or c not in QUERY for c in range(CLASSES)]
            found.append(Teacher(model, columns, torch.ones(CLASSES), known))
        return found

    def model(self, site: str, network: nn.Module, classes: int) -> Model:
        """A network with a card."""
        card = Card(
            site=site,
            task="speed",
            label_space=[ClassLabel(name=f"class {c}") for c in range(classes)],
            network=self.spec,
            head=find_head(network),
            input=InputContract(channels=3, spatial_size=self.size),
        )
        return Model(network, card, Path(), 0)
