"""A site's own images on which a new model's forgetting can be measured before it is tested.

Validation images, which no model was fitted to; and training images, as far as a model of the same kind that
was not fitted to an image says what it shows: cross-fitting. Closed-form parts are refitted without a fold
of the images; for the site's own network, ``train`` keeps what networks without a fold said of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clinical_qkt.core.errors import PackageError
from clinical_qkt.tasks.single_label import SINGLE_LABEL


@dataclass(frozen=True)
class HeldOut:
    """Images of own classes, and what was said of each by models that were not fitted to it.

    Attributes:
        logits: ``(N, C)`` of the new model.
        labels: ``(N,)`` columns of their classes, none of them queried.
        before: ``(N,)`` booleans: whether the own model was right.
        patients: ``(N,)`` numbers that tell whose image it is; None if nobody is named.
        cross_fitted: how many are training images.
    """

    logits: Tensor
    labels: Tensor
    before: Tensor
    patients: NDArray[Any] | None = None
    cross_fitted: int = 0

    @classmethod
    def of(
        cls,
        logits: Tensor,
        own: Tensor,
        labels: Tensor,
        local: Sequence[int],
        patients: NDArray[Any] | None = None,
        *,
        cross_fitted: bool = False,
    ) -> HeldOut:
        """Of the images of own classes among some.

        Args:
            own: ``(N, local)`` logits of the own model.
            labels: ``(N,)``; images of queried classes are left out.

        Raises:
            PackageError: logits are NaN or infinite.
        """
        kept = torch.isin(labels, torch.tensor(list(local)))
        if not torch.isfinite(logits[kept]).all():
            raise PackageError(
                "gives NaN or infinity on this site's images",
                where="the model that was gained",
                fix="take packages out of 'teachers' one at a time, and tell the sending site",
            )
        right = SINGLE_LABEL.decide(own) == labels
        who = None if patients is None else patients[kept.numpy()]
        return cls(logits[kept], labels[kept], right[kept], who, int(kept.sum()) if cross_fitted else 0)

    def __len__(self) -> int:
        return len(self.labels)

    def __add__(self, other: HeldOut) -> HeldOut:
        """Both, one after the other; no patient has images in both."""
        who = None
        if self.patients is not None or other.patients is not None:
            first, second = (np.arange(len(s)) if s.patients is None else s.patients for s in (self, other))
            who = np.concatenate([first, second + first.max(initial=-1) + 1])
        logits = torch.cat([self.logits, other.logits])
        labels = torch.cat([self.labels, other.labels])
        before = torch.cat([self.before, other.before])
        return HeldOut(logits, labels, before, who, self.cross_fitted + other.cross_fitted)
