"""What classifiers made of statistics say of training images that they were not fitted to.

The own classes' Gaussians are fitted without a fold of the images. The map of the features was fitted to all
of them, too: it flatters the images that it has seen, the more so the fewer there are for its axes. So each
image is also looked at through a map that was fitted without its fold, into which what other sites sent is
brought; and the answer counts that is nearer to a queried class. Exact responses lose nothing on the way.
Private ones were noised along the axes of the first map, and neither way alone is always on the safe side.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clinical_qkt.data.folds import CLOSED_FORM, folds_of
from clinical_qkt.networks.gaussian_classifier import GaussianClassifier
from clinical_qkt.query.aggregate import HeadChoice, fill, gaussians_of, own_statistics
from clinical_qkt.query.request import whitening
from clinical_qkt.statistics.class_statistics import ClassStatistics

FEWEST = 2
"""Images of each class that Gaussians are fitted to."""


def cross_fitted(
    network: GaussianClassifier,
    choice: HeadChoice,
    queried: Sequence[ClassStatistics],
    features: Tensor,
    labels: Tensor,
    own_held_out: Tensor,
    seed: int,
    patients: NDArray[Any] | None = None,
) -> Tensor | None:
    """Logits by classifiers that were fitted without the image.

    Args:
        network, choice: as ``aggregate.fitted`` made them of all images.
        queried: pooled statistics, one a class.
        features: ``(images of own classes, D)``.
        labels: ``(N,)`` of all training images, a few of queried classes may be among them.
        own_held_out: ``(N, own classes)``, see ``qkt.student.Student``.
        patients: ``(N,)`` numbers that tell whose image it is.

    Returns:
        ``(N, C)``, zeros for images of queried classes; None if there are too few images for folds, all in
        all or of a class, or a head is trained.
    """
    own = labels < network.spec.own
    who = None if patients is None else patients[own.numpy()]
    folds = folds_of(labels[own], who, count=CLOSED_FORM, seed=seed)
    if choice.head == "replay" or not folds.any() or _too_few(labels[own], folds):
        return None
    found = torch.zeros(len(labels), len(network.head.bias))
    found[own] = _by_fold(network, choice, queried, (features, labels[own]), own_held_out[own], folds)
    return found


def _too_few(labels: Tensor, folds: NDArray[np.int64]) -> bool:
    """Whether a class would be left without a spread, were a fold left out."""
    left = [np.bincount(labels.numpy()[folds != fold]) for fold in np.unique(folds)]
    return any(len(counts) <= int(labels.max()) or counts.min() < FEWEST for counts in left)


def _by_fold(
    network: GaussianClassifier,
    choice: HeadChoice,
    queried: Sequence[ClassStatistics],
    training: tuple[Tensor, Tensor],
    own_held_out: Tensor,
    folds: NDArray[np.int64],
) -> Tensor:
    part, answers = copy.deepcopy(network), torch.zeros(len(folds), len(network.head.bias))
    for fold in np.unique(folds):
        mine, others = torch.from_numpy(folds == fold), torch.from_numpy(folds != fold)
        seen, known = (training[0][mine], own_held_out[mine]), (training[0][others], training[1][others])
        kept = _said(part, choice, queried, known, *seen)
        center, projection = whitening(*known, training[0].shape[1])
        moved = [_mapped(q, center, projection) for q in queried]
        known = (known[0] - center) @ projection, known[1]
        anew = _said(part, choice, moved, known, (seen[0] - center) @ projection, seen[1])
        answers[mine] = _nearer(kept, anew, network.spec.own)
    return answers


@torch.no_grad()
def _said(
    part: GaussianClassifier,
    choice: HeadChoice,
    queried: Sequence[ClassStatistics],
    known: tuple[Tensor, Tensor],
    features: Tensor,
    own: Tensor,
) -> Tensor:
    """``(n, C)`` of features ``(n, D)`` and own logits, by Gaussians of what is known; ``part`` is filled."""
    assert choice.temperature is not None
    everyone = [*own_statistics(*known, part.spec.own), *queried]
    fill(part, gaussians_of(everyone, choice), choice.temperature)
    return part.said(own, features.float())


def _mapped(part: ClassStatistics, center: Tensor, projection: Tensor) -> ClassStatistics:
    """Statistics of ``(x - center) @ projection``; of what is not known of the mean, each axis's share."""
    covariance, doubt = part.covariance, part.doubt
    if covariance is not None:
        full = covariance if covariance.ndim == 2 else covariance.diag()
        moved = projection.T @ full @ projection
        covariance = moved if covariance.ndim == 2 else moved.diagonal()
    if doubt is not None:
        doubt = projection.square().T @ doubt
    return replace(part, mean=(part.mean - center) @ projection, covariance=covariance, doubt=doubt)


def _nearer(one: Tensor, other: Tensor, own: int) -> Tensor:
    """Of two answers on each image the one whose queried logits are higher, against the own ones."""
    gaps = [said[:, own:].amax(1) - said[:, :own].amax(1) for said in (one, other)]
    return torch.where((gaps[0] > gaps[1])[:, None], one, other)
