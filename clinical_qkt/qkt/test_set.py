"""Models on the student's own test images: what each does, and where the new one agrees with its teachers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from clinical_qkt.core.files import digest_of, sha256
from clinical_qkt.data.datalist import CheckedData
from clinical_qkt.data.label_space import LabelSpace
from clinical_qkt.evidence import metrics
from clinical_qkt.evidence.evaluate import evaluate
from clinical_qkt.evidence.evaluation import Agreement, Evaluation, Forgetting
from clinical_qkt.evidence.losses import lost
from clinical_qkt.qkt import targets
from clinical_qkt.qkt.teachers import Teacher
from clinical_qkt.tasks.single_label import SINGLE_LABEL
from clinical_qkt.training.inference import Images, labels_of, logits_of

Array = NDArray[Any]


@dataclass(frozen=True)
class TestSet:
    """The test images as they are labelled, and what a figure of them needs besides.

    Attributes:
        labels: the site's classes, then the queried ones; ``query`` holds the columns of the latter.
        truth: ``(N,)`` the column of each image's class.
        patients: ``(N,)`` whose image it is; None if nobody is named.
        prevalence: of queried classes, in percent.
        groups: of each image, what the list tells of it by column, such as sex or device.
        sha256: of the images and their labels, whatever their files are called and in which order.
    """

    __test__ = False  # for pytest, which takes it for a test

    labels: LabelSpace
    query: Sequence[int]
    truth: Array
    patients: Array | None
    prevalence: Mapping[str, float]
    groups: Sequence[Mapping[str, str]]
    sha256: str

    @classmethod
    def of(cls, data: CheckedData, query: Sequence[int], prevalence: Mapping[str, float]) -> TestSet:
        """Those of a site's datalist."""
        items = data.items["test"]
        truth = SINGLE_LABEL.targets(items).numpy()
        digests = sorted(f"{data.labels[i['label']].name}\n{sha256(Path(i['image']))}" for i in items)
        return cls(
            data.labels,
            query,
            truth,
            data.whose("test"),
            prevalence,
            data.groups_in("test"),
            digest_of("\n".join(digests)),
        )

    def evaluation(self, probabilities: Array) -> Evaluation:
        """The part ``before`` or ``after`` of the summary, from probabilities ``(N, C)``."""
        return evaluate(probabilities, self.truth, self.labels, self.query, self.patients, self.prevalence)

    def lost(self, before: Array, after: Array) -> Forgetting:
        """The part ``forgetting``, from both models' probabilities ``(N, C)``."""
        retained = [c.name for i, c in enumerate(self.labels) if i not in set(self.query)]
        called = SINGLE_LABEL.decide(before), SINGLE_LABEL.decide(after)
        return lost(*called, self.truth, retained, self.patients)


def probabilities(network: nn.Module, images: Images, classes: int, device: torch.device) -> Array:
    """What a model states for each class, ``(N, classes)``.

    A model without rows for the queried classes, as before the transfer, never names them.
    """
    found = SINGLE_LABEL.probabilities(logits_of(network, images, device)).numpy()
    return np.pad(found, ((0, 0), (0, classes - found.shape[1])))


def few_images(after: Evaluation, queried: Sequence[str]) -> bool:
    """Whether too few test images show a queried class to say much, as at most hospitals that ask."""
    return any(after.per_class[name].support < metrics.FEW for name in queried)


def agreements(
    network: nn.Module,
    images: Images,
    teachers: Sequence[tuple[Teacher, Images]],
    labels: LabelSpace,
    device: torch.device,
) -> dict[str, Agreement]:
    """By teacher, how often the new model says what it says, on own images of classes that both know.

    Args:
        images: as the new model takes them.
        teachers: each with the same images as it takes them.
    """
    mine, truth = logits_of(network, images, device).numpy(), labels_of(images).numpy()
    found = {}
    for teacher, seen in teachers:
        said = logits_of(teacher.model.network, seen, device)
        theirs = targets.aligned(said, teacher.columns, teacher.known, len(labels))
        found[teacher.site] = metrics.agreement(mine, theirs.numpy(), truth)
    return found
