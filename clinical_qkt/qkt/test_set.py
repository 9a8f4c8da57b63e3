"""Models on the student's own test images: what each does, and where the new one agrees with its teachers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

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


def probabilities(logits: Tensor, classes: int) -> Array:
    """What a model states for each class, ``(N, classes)``.

    A model without rows for the queried classes, as before the transfer, never names them.
    """
    found = SINGLE_LABEL.probabilities(logits).numpy()
    return np.pad(found, ((0, 0), (0, classes - found.shape[1])))


def few_images(after: Evaluation, queried: Sequence[str]) -> bool:
    """Whether too few test images show a queried class to say much, as at most hospitals that ask."""
    return any(after.per_class[name].support < metrics.FEW for name in queried)


def agreements(
    mine: Tensor, truth: Array, teachers: Sequence[Teacher], theirs: Mapping[str, Tensor]
) -> dict[str, Agreement]:
    """By teacher, how often the new model says what it says, on own images of classes that both know.

    Args:
        mine: ``(N, C)`` logits of the new model.
        truth: ``(N,)``.
        theirs: each teacher's logits on the same images by site, ``(N, its classes)``.
    """
    found = {}
    for teacher in teachers:
        said = targets.aligned(theirs[teacher.site], teacher.columns, teacher.known, mine.shape[1])
        found[teacher.site] = metrics.agreement(mine.numpy(), said.numpy(), truth)
    return found
