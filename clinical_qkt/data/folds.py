"""Folds of a site's images: for models that are to say what images show which they were not fitted to."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
from torch import Tensor

FOLDS = 3
"""Of a site's own network, which is trained once more for each. Ridge heads use ``CLOSED_FORM``."""
CLOSED_FORM = 5


def folds_of(
    labels: Tensor, patients: NDArray[Any] | None = None, *, count: int = FOLDS, seed: int = 0
) -> NDArray[np.int64]:
    """Which fold each image is in: classes are spread evenly, and no patient is in two folds.

    Args:
        labels: ``(N,)`` columns of classes.
        patients: ``(N,)`` whose image it is; each image counts for itself if None.
        count: of folds.

    Returns:
        ``(N,)`` from 0 to ``count - 1``; all 0 if there are fewer images or patients than folds.

    >>> import torch
    >>> labels = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])
    >>> sorted(folds_of(labels, count=2).tolist())
    [0, 0, 0, 0, 1, 1, 1, 1]
    >>> patients = np.array(["a", "a", "b", "b", "c", "c", "d", "d"])
    >>> of = folds_of(labels, patients, count=2)
    >>> bool((of[::2] == of[1::2]).all())
    True
    """
    where = np.zeros(len(labels), dtype=np.int64)
    units = len(labels) if patients is None else len(np.unique(patients))
    if units < count or int(np.bincount(labels.numpy()).max(initial=0)) < count:
        return where
    kind = StratifiedKFold if patients is None else StratifiedGroupKFold
    split = kind(n_splits=count, shuffle=True, random_state=seed)
    for fold, (_, mine) in enumerate(split.split(where, labels.numpy(), patients)):
        where[mine] = fold
    return where


def fewest_of_a_class(labels: Tensor, patients: NDArray[Any] | None = None) -> int:
    """Images, or patients, of the class that has fewest: with more folds, some would have none of it.

    >>> import torch
    >>> labels = torch.tensor([0, 0, 0, 1, 1])
    >>> fewest_of_a_class(labels), fewest_of_a_class(labels, np.array(["a", "b", "c", "d", "d"]))
    (2, 1)
    """
    units = np.arange(len(labels)) if patients is None else patients
    return min(len(np.unique(units[labels.numpy() == c])) for c in labels.unique().tolist())
