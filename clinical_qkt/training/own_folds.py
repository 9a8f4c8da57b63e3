"""A network's kin by folds: what networks of the same recipe say of the images that they were not fitted to.

Of images that a network was trained on it says too much to show how it will err. So the same training is done
once more without each fold of the images, and what comes of it is asked about that fold alone: cross-fitting.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from clinical_qkt.core.files import write_whole
from clinical_qkt.core.tensor_cache import cached

NAME = "own_held_out"
FILE = f"{NAME}.safetensors"
"""In a site's ``output_dir``, beside the model's folder: it has a row for each image and never leaves."""


@dataclass(frozen=True)
class MadeOf:
    """What decides the logits, as text, so that a file says what it belongs to.

    Attributes:
        weights_sha256: of the model whose kin were asked.
        images: digest of the training images in order.
        folds: how many.
    """

    weights_sha256: str
    images: str
    folds: str


def missing_class(folds: NDArray[np.int64], labels: Tensor) -> int | None:
    """The first class all of whose images are in one fold: a network without that fold would not know it.

    >>> missing_class(np.array([0, 1, 0, 1]), torch.tensor([0, 0, 1, 1])) is None
    True
    >>> missing_class(np.array([0, 1, 1, 1]), torch.tensor([0, 0, 1, 1]))
    1
    """
    of = labels.numpy()
    return next((int(c) for c in np.unique(of) if len(np.unique(folds[of == c])) < 2), None)


def by_folds(
    folds: NDArray[np.int64], said: Callable[[int, list[int], list[int]], Tensor], work: Path
) -> Tensor:
    """What is said of each fold without it.

    Args:
        folds: ``(N,)`` from 0, see ``data.folds``.
        said: from a fold's number, the places of all other images and those of its own to ``(its own, C)``.
        work: a folder in which finished folds are kept, so that none is trained twice.

    Returns:
        ``(N, C)`` float32, rows in the images' order.
    """
    parts = []
    for fold in range(int(folds.max()) + 1):
        places = (np.flatnonzero(w).tolist() for w in (folds != fold, folds == fold))
        make = partial(_named, said, fold, *places)
        parts.append(cached(work / f"fold_{fold}.safetensors", make)[NAME])
    order = np.argsort(np.argsort(folds, kind="stable"), kind="stable")
    return torch.cat(parts)[torch.from_numpy(order)]


def _named(said: Callable[..., Tensor], *fold: Any) -> dict[str, Tensor]:
    return {NAME: said(*fold)}


def write(path: Path, logits: Tensor, of: MadeOf) -> None:
    """Keep the logits with what decides them: whole or not at all, for the owner alone."""
    tensors = {NAME: logits.float().contiguous()}
    write_whole(path, lambda part: save_file(tensors, part, vars(of)), private=True)


def made_of(path: Path) -> MadeOf | None:
    """What decided the logits that were kept; None if there are none, or the file is not whole."""
    try:
        with safe_open(path, framework="pt") as file:
            return MadeOf(**(file.metadata() or {}))
    except (OSError, SafetensorError, TypeError):
        return None


def read(path: Path, of: MadeOf) -> Tensor | None:
    """Logits ``(N, C)`` that were kept; None if there are none, or they belong to something else."""
    return load_file(path)[NAME] if made_of(path) == of else None
