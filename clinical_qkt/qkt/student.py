"""The student's side of a transfer: what it brings, whatever the teachers say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from clinical_qkt.data.label_space import LabelSpace
from clinical_qkt.packages.model import Model
from clinical_qkt.training.inference import Images


@dataclass(frozen=True, kw_only=True)
class Student:
    """A student and its query. No test image is here, and no image of a queried class that it lacks.

    Attributes:
        own: the student's model.
        labels: its classes, then the queried ones; ``query`` holds the columns of the latter.
        training, validation: its images, prepared for ``own``, ``{"image", "label"}``.
        augment: MONAI transforms that change a prepared image at random.
        forgetting_budget: points of retained recall that it is willing to lose.
    """

    own: Model
    labels: LabelSpace
    query: list[int]
    training: Images
    validation: Images
    augment: list[Any]
    seed: int
    device: torch.device
    forgetting_budget: float = 2.0

    @property
    def local(self) -> list[int]:
        """The columns of its own classes."""
        return [c for c in range(len(self.labels)) if c not in set(self.query)]
