"""Words that sites and packages have in common, and nothing that takes long to import."""

from __future__ import annotations

from typing import Final, Literal

Kind = Literal["covariance", "diagonal", "mean", "private_mean"]
"""Kinds of responses with statistics."""
EXACT: tuple[Kind, ...] = ("covariance", "diagonal", "mean")
"""Those without noise: a site gives few of them, and the ledger keeps each."""
KINDS: tuple[Kind, ...] = (*EXACT, "private_mean")
"""All kinds, the one that tells most first."""
Unit = Literal["patient", "image"]
"""Whom a private response protects."""

Onward = Literal["student_only", "assessment"]
"""Where a model may go that was made of a response: to nobody but the asker, or to other hospitals, too,
which measure it on their images."""
KEPT: Final = "student_only"


def guarantee(epsilon: float, delta: float, unit: str) -> str:
    """What a private response promises, and for whom: the noise hides what one of these units could change.

    >>> guarantee(1.0, 1e-5, "image")
    '(1, 1e-05)-private for one image'
    """
    return f"({epsilon:g}, {delta:g})-private for one {unit}"


EvidenceFrom = Literal["own", "others", "both"]
"""Whose test images a rule goes by: the own, those of other hospitals that measured the model, or all."""
Verdict = Literal["accepted", "not accepted", "cannot be decided"]
ACCEPTED: Final = "accepted"
REFUSED: Final = "not accepted"
UNDECIDED: Final = "cannot be decided"
"""Of a new model, by the site's rule."""
LookOutcome = Literal["alike", "within the limits", "beyond the limits", "not known"]
"""Whether another site's images look like the own ones, or are kept within limits."""
Precision = Literal["float32", "float16"]
"""Of the weights of a package."""
Keep = Literal["last", "best"]
"""Which epoch's weights a training keeps; see ``training.best``."""
ClassWeights = Literal["none", "balanced"]
"""What a class weighs in a training's loss."""
LookAugmentation = Literal["none", "mild", "strong"]
"""How far the looks may be from an image's own that a training gives it; see ``data.look_augmentation``."""
ImageCache = Literal["auto", "memory", "disk", "kept", "none"]
"""Where prepared images are kept; see ``data.image_cache``."""

TrainedLayers = Literal["all", "last", "head"]
"""Which part of a network with pretrained weights is trained: all of it, what follows its early stages, or
its head alone; see ``networks.frozen``."""


PSEUDONYM = r"^[A-Za-z0-9][A-Za-z0-9_.\-]{0,63}$"
"""What a site may be called."""
