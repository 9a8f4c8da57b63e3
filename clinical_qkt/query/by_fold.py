"""What classifiers made of statistics say of training images that they were not fitted to.

The own classes' Gaussians are fitted without a fold of the images. The map of the features was fitted to all
of them, too: it flatters the images that it has seen, the more so the fewer there are for its axes. So each
image is looked at through a map that was fitted without its fold, into which what other sites sent is
brought. Exact responses lose nothing on the way. Private ones were noised along the axes of the first map; so
the other map has the same axes as nearly as can be, and along those that a private mean does not tell nothing
is made up.
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

from clinical_qkt.data.folds import fewest_of_a_class, folds_of
from clinical_qkt.networks.gaussian_classifier import GaussianClassifier
from clinical_qkt.query.aggregate import HeadChoice, fill, gaussians_of, own_statistics
from clinical_qkt.query.request import within_classes
from clinical_qkt.statistics.class_statistics import ClassStatistics
from clinical_qkt.tasks.single_label import SINGLE_LABEL

FEWEST_FOLDS, MOST_FOLDS = 5, 20
"""Gaussians without a fold take no time, and with smaller folds they are more like those of all images."""
FEWEST = 2
"""Images of each class that Gaussians are fitted to."""
FLAT = 0.1
"""Axes along which images vary by less than this share of the mean axis stay as they are, and no axis is
stretched as if a part of the images varied by less: a map fitted anew would do so without limit, with the
noise of private responses as well."""


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
    count = min(max(fewest_of_a_class(labels[own], who), FEWEST_FOLDS), MOST_FOLDS)
    folds = folds_of(labels[own], who, count=count, seed=seed)
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
    features, labels = training[0].double(), training[1]
    whole, middle = within_classes(features, labels), _middle(features, labels)
    for fold in np.unique(folds):
        mine, others = torch.from_numpy(folds == fold), torch.from_numpy(folds != fold)
        anew = refitted(whole, within_classes(features[others], labels[others]))
        moved, known = [_mapped(q, anew, middle) for q in queried], (features[others] @ anew, labels[others])
        answers[mine] = _said(part, choice, moved, known, features[mine] @ anew, own_held_out[mine])
    return answers


def refitted(whole: Tensor, part: Tensor) -> Tensor:
    """``(D, D)``: from features to what they would be, had their map been fitted to a part of the images.

    Of all maps after which that part varies as all images did before, the one that moves features least: the
    axes stay what they were.

    Args:
        whole: ``(D, D)`` covariance within classes of all images.
        part: that of the part.

    >>> whole, part = torch.eye(2).double(), torch.tensor([[4.0, 0.0], [0.0, 1.0]]).double()
    >>> refitted(whole, part).tolist()
    [[0.5, 0.0], [0.0, 1.0]]
    """
    values, axes = torch.linalg.eigh(whole)
    varies = values > FLAT * values.mean()
    scale, axes = values[varies].sqrt(), axes[:, varies]
    spread, turn = torch.linalg.eigh((axes / scale).T @ part @ (axes / scale))
    change = (turn / spread.clamp_min(FLAT).sqrt()) @ turn.T - torch.eye(len(scale), dtype=whole.dtype)
    return torch.eye(len(whole), dtype=whole.dtype) + (axes / scale) @ change @ (axes * scale).T


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


def _mapped(part: ClassStatistics, anew: Tensor, middle: Tensor) -> ClassStatistics:
    """Statistics of ``x @ anew``.

    Of a private mean only the axes that it tells are moved: nothing is known of the others, so that the mean
    stays in the middle there; and what is not known stays with its axis.
    """
    if part.doubt is not None:
        told = ~torch.isclose(part.mean, middle)
        mean = middle @ anew
        mean[told] += (part.mean - middle)[told] @ anew[told][:, told]
        return replace(part, mean=mean)
    covariance = part.covariance
    if covariance is not None:
        full = covariance if covariance.ndim == 2 else covariance.diag()
        moved = anew.T @ full @ anew
        covariance = moved if covariance.ndim == 2 else moved.diagonal()
    return replace(part, mean=part.mean @ anew, covariance=covariance)


def _middle(features: Tensor, labels: Tensor) -> Tensor:
    """``(D,)``: the mean of the own classes' means."""
    of_classes = SINGLE_LABEL.by_class(features, labels, labels.unique())
    return torch.stack([of_class.mean(0) for of_class in of_classes]).mean(0)
