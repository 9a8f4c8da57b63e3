"""One label an image, of classes that exclude one another; in the form ``(N,)``, the column of the class."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from clinical_qkt.tasks.base import Rows, Task

if TYPE_CHECKING:  # torch is imported where it is used, see ``base``
    from numpy.typing import NDArray
    from torch import Tensor, nn


class SingleLabel:
    """See ``Task`` for arguments."""

    @property
    def head(self) -> type[nn.Linear]:
        from torch import nn

        return nn.Linear

    def targets(self, items: Iterable[Mapping[str, Any]]) -> Tensor:
        """
        >>> SINGLE_LABEL.targets([{"label": 2}, {"label": 0}])
        tensor([2, 0])
        """
        import torch

        return torch.tensor([int(item["label"]) for item in items], dtype=torch.int64)

    def relabelled(
        self, items: Iterable[Mapping[str, Any]], columns: Mapping[int, int | None]
    ) -> list[dict[str, Any]]:
        """
        >>> SINGLE_LABEL.relabelled([{"label": 0}, {"label": 1}, {"label": 2}], {0: 5, 1: None})
        [{'label': 5}]
        """
        found = [(item, columns.get(int(item["label"]))) for item in items]
        return [{**item, "label": column} for item, column in found if column is not None]

    def loss(self, logits: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        """Cross-entropy with the batch's entry ``label``, averaged over the images.

        >>> import torch
        >>> round(float(SINGLE_LABEL.loss(torch.tensor([[1.0, 0.0]]), {"label": torch.tensor([0])})), 3)
        0.313
        """
        from torch.nn import functional as F

        return F.cross_entropy(logits, targets["label"])

    def probabilities(self, logits: Tensor) -> Tensor:
        """Each row adds up to one.

        >>> import torch
        >>> SINGLE_LABEL.probabilities(torch.zeros(1, 4)).tolist()
        [[0.25, 0.25, 0.25, 0.25]]
        """
        return logits.softmax(1)

    def decide(self, scores: Rows) -> Rows:
        """The class with the highest score.

        >>> SINGLE_LABEL.decide(np.array([[0.1, 0.9], [0.6, 0.4]])).tolist()
        [1, 0]
        """
        return scores.argmax(1)

    def evidence(self, logits: Tensor, query: Sequence[int], known: Sequence[int]) -> Tensor:
        """Its logit above the mean logit of the known classes: what all logits have in common says nothing.

        >>> import torch
        >>> SINGLE_LABEL.evidence(torch.tensor([[1.0, 3.0, 5.0]]), query=[2], known=[0, 1]).tolist()
        [[3.0]]
        """
        return logits[:, list(query)] - logits[:, list(known)].mean(1, keepdim=True)

    def by_class(self, rows: Rows, targets: Rows, classes: Iterable[int]) -> list[Rows]:
        """
        >>> of_class = SINGLE_LABEL.by_class(np.array([7, 8, 9]), np.array([0, 1, 0]), range(3))
        >>> [mine.tolist() for mine in of_class]
        [[7, 9], [8], []]
        """
        return [rows[targets == c] for c in classes]

    def counts(self, targets: NDArray[Any], decided: NDArray[Any], classes: int) -> NDArray[Any]:
        """``(C, C)``: rows are the true classes, columns the decided ones.

        >>> SINGLE_LABEL.counts(np.array([0, 0, 1]), np.array([0, 1, 1]), classes=2).tolist()
        [[1, 1], [0, 1]]
        """
        pairs = np.bincount(classes * targets + decided, minlength=classes**2)
        return pairs.reshape(classes, classes)


SINGLE_LABEL: Task = SingleLabel()
"""The one task that there is."""
