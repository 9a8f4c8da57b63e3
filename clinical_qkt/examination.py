"""Models on the student's own test images: what each does, and where the new one agrees with its teachers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from clinical_qkt import metrics, targets
from clinical_qkt.labels import LabelSpace
from clinical_qkt.summary import evaluation
from clinical_qkt.targets import Images, answer, labels_of
from clinical_qkt.teachers import Teacher


def examined(
    network: nn.Module, images: Images, labels: LabelSpace, query: Sequence[int], device: torch.device
) -> dict[str, Any]:
    """The part ``before`` or ``after`` of the summary.

    A model without rows for the queried classes, as before the transfer, never names them.
    """
    probabilities = answer(network, images, device).softmax(1).numpy()
    missing = len(labels) - probabilities.shape[1]
    probabilities = np.pad(probabilities, ((0, 0), (0, missing)))
    return evaluation(probabilities, labels_of(images).numpy(), labels, query)


def few_images(after: Mapping[str, Any], queried: Sequence[str]) -> bool:
    """Whether too few test images show a queried class to say much, as at most hospitals that ask."""
    return any(after["per_class"][name]["support"] < metrics.FEW for name in queried)


def agreements(
    network: nn.Module,
    images: Images,
    teachers: Sequence[tuple[Teacher, Images]],
    labels: LabelSpace,
    device: torch.device,
) -> dict[str, dict[str, Any]]:
    """By teacher, how often the new model says what it says, on own images of classes that both know.

    Args:
        images: as the new model takes them.
        teachers: each with the same images as it takes them.
    """
    mine, truth = answer(network, images, device).numpy(), labels_of(images).numpy()
    found = {}
    for teacher, seen in teachers:
        said = answer(teacher.model.network, seen, device)
        theirs = targets.aligned(said, teacher.columns, teacher.known, len(labels))
        found[teacher.site] = metrics.agreement(mine, theirs.numpy(), truth)
    return found
