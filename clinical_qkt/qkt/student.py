"""The student's side of a transfer: what it brings, whatever the teachers say."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
from monai.data import Dataset
from monai.transforms import Compose
from numpy.typing import NDArray
from torch import Tensor, nn

from clinical_qkt.data.inputs import InputContract
from clinical_qkt.data.label_space import LabelSpace
from clinical_qkt.networks.extractor import Pooling
from clinical_qkt.packages.model import Model
from clinical_qkt.qkt.teachers import Teacher
from clinical_qkt.training.inference import Each, Images, logits_of, pooled_of
from clinical_qkt.training.loop import plain_tensors

VIEWS = 3
"""Random views of each image beside the plain one."""
OWN = "(own)"
"""Stands for the student beside the teachers' pseudonyms, none of which has a parenthesis."""


class StudentImages(Protocol):
    """A student's images as any network takes them, and what networks make of the training images.

    No test image is here, and no image of a queried class that the student lacks.
    """

    def prepared(self, section: Literal["training", "validation"], given: InputContract) -> Images:
        """A section's images as a contract asks for them, ``{"image", "label"}``."""

    def patients(self, section: Literal["training", "validation"]) -> NDArray[Any] | None:
        """``(N,)`` whose image each of a section's is; None if nobody is named."""

    def logits(self, teachers: Sequence[Teacher]) -> dict[str, Tensor]:
        """Each teacher's logits on the training images by site, and the own model's as ``OWN``."""

    def features(self, teachers: Sequence[Teacher]) -> dict[str, Tensor]:
        """What arrives at each teacher's head for the training images, by site, ``(N, its features)``."""


@dataclass(frozen=True, kw_only=True)
class Student:
    """A student and its query.

    Attributes:
        own: the student's model.
        labels: its classes, then the queried ones; ``query`` holds the columns of the latter.
        augment: MONAI transforms that change a prepared image at random.
        forgetting_budget: points of retained recall that it is willing to lose.
        own_held_out: ``(training images, local)``: of each the logits of a network like the own one that was
            not fitted to it, see ``data.folds``; rows of queried images count for nothing. None: there are
            none.
    """

    own: Model
    labels: LabelSpace
    query: list[int]
    augment: list[Any]
    seed: int
    device: torch.device
    forgetting_budget: float = 2.0
    own_held_out: Tensor | None = None

    def said(self, network: nn.Module, images: Images, what: str = "logits") -> Tensor:
        """``(N, classes)``: a network's logits on images that are prepared for it; ``what`` names the bar."""
        return logits_of(network, images, self.device, what=what)

    def in_views(self, body: Pooling, images: Images) -> Tensor:
        """``(V N, pooled)`` float64: of images, and then of them in ``VIEWS`` random views each."""
        items = Each(images, lambda _, item: {"image": item["image"]})
        changed = Dataset(items, Compose(copy.deepcopy(list(self.augment))))
        views = [Dataset(items), *([changed] * VIEWS)]
        # MONAI's loader seeds the transforms from torch's global state, which depends on what ran before.
        with plain_tensors(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            return torch.cat([pooled_of(body, view, self.device) for view in views])

    @property
    def local(self) -> list[int]:
        """The columns of its own classes."""
        return [c for c in range(len(self.labels)) if c not in set(self.query)]
