"""What a hospital may choose of its own training besides epochs, batch and rate."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch import Tensor

from clinical_qkt.bundle.running import plain_errors
from clinical_qkt.core.errors import InputError
from clinical_qkt.data.datalist import CheckedData


def training_options(
    keep: str,
    early_stopping: int | None,
    class_weights: str,
    val_interval: int,
    head_penalty: float | None = None,
) -> list[str]:
    """What is not as by default, as words that name unfinished work.

    >>> training_options("last", None, "none", 1)
    []
    >>> training_options("best", 3, "balanced", 2)
    ['keep best of every 2', 'early_stopping 3', 'class_weights balanced']
    """
    chosen = {
        f"keep best of every {val_interval}": keep == "best",
        f"early_stopping {early_stopping}": early_stopping is not None,
        f"class_weights {class_weights}": class_weights != "none",
        f"head_penalty {head_penalty}": head_penalty is not None,
    }
    return [word for word, is_chosen in chosen.items() if is_chosen]


def class_weights(how: str, data: CheckedData, device: torch.device) -> Tensor | None:
    """The weight of each class in the loss, ``(C,)``: ``images / (classes * images of the class)``.

    As scikit-learn's ``compute_class_weight("balanced", …)``; None where all count alike.

    Args:
        how: ``none`` or ``balanced``.
    """
    if how == "none":
        return None
    labels = np.array([item["label"] for item in data.items["training"]])
    weights = compute_class_weight("balanced", classes=np.unique(labels), y=labels)
    return torch.tensor(weights, dtype=torch.float32, device=device)


def tell_class_weights(weights: Tensor | None, names: list[str]) -> None:
    """Say on standard error how much each class weighs, unless all count alike."""
    if weights is not None:
        told = ", ".join(f"{name} {w:.2f}" for name, w in zip(names, weights.tolist(), strict=True))
        print(f"class weights in the loss: {told}", file=sys.stderr)


def tell_other_shadows(keep: str, weights: str) -> None:
    """Say that an audit's shadow models are trained in another way than the model, where they are."""
    if (keep, weights) != ("last", "none"):
        print(
            "note: the audit's shadow models keep their last weights and weigh no class, unlike the model: "
            "its figures may be too low",
            file=sys.stderr,
        )


@plain_errors
def require_default_training(options: list[str]) -> None:
    """Refuse with differential privacy what uses more of patients than the promise counts, or in another way.

    Raises:
        InputError: an option is chosen that cannot be had there.
    """
    if options:
        raise InputError(
            f"'{options[0]}' cannot be had with differential privacy: validation images, counts of "
            "classes and a head that is fitted at once are of patients, too, and the promise does not count "
            "them",
            where="keep, early_stopping, class_weights, head_penalty",
            fix="leave these keys out, or train without train_private.yaml",
        )


def as_handler(handler: Any) -> Any:
    """The same: MONAI's check of a bundle's properties takes each of its handlers to be a mapping."""
    return handler
