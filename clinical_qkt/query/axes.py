"""Which axes of a feature space come first: those along which a class that was never seen is likely to lie.

A private response tells the asker some numbers under noise, and the more numbers the more noise. So the asker
turns its feature space: first come the axes along which its own classes' means move most under generic
variations of its own images, and along which they differ from each other. How far a class lies from the
middle of the own ones falls, axis by axis, much as one over the axis's place; see ``prior``.

The turn is orthogonal in a space where own classes have the same spread along each axis: exact responses are
worth what they were.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from clinical_qkt.core.batches import images_at_once
from clinical_qkt.core.parts import InParts
from clinical_qkt.data.inputs import InputContract
from clinical_qkt.data.variations import variations
from clinical_qkt.networks.extractor import Pooling
from clinical_qkt.training.inference import Images, labels_of

SHOWN = 12
"""Own images of each class that are varied."""
OWN, ANYWHERE = 0.3, 0.3
"""Shares: of what is known of directions, how much comes from own means; of the prior, how much is the same
in every direction."""
FARTHEST = 12.0
"""A mean that moves further, in units of the spread within a class, counts as if it moved so far."""
FURTHER = 3.5
"""By what factor the squared distance of an unseen class from the middle of the own ones is taken to be above
that of an own one: the sum of ``prior`` over all axes."""


def prior(means: Tensor) -> Tensor:
    """``(D,)``: the variance of an unseen class's mean along each axis, about the own classes' middle.

    A share of it is the same for every axis, the rest falls as one over the axis's place. Measured profiles
    of a dozen networks did no better.

    Args:
        means: ``(C, D)`` of own classes, along the axes in their order.
    """
    places = torch.arange(1, means.shape[1] + 1, dtype=torch.float64)
    falling = (1 - ANYWHERE) / places / (1 / places).sum() + ANYWHERE / len(places)
    return FURTHER * (means - means.mean(0)).square().sum(1).mean() * falling


def turn(means: Tensor, moves: Tensor) -> Tensor:
    """``(D, D)`` orthogonal, its columns the axes in their order.

    Args:
        means: ``(C, D)`` of own classes, in a space where these vary by one along each axis.
        moves: ``(M, D)``: by what a class's mean moves under a variation.
    """
    width = means.shape[1]
    apart = means - means.mean(0)
    known = OWN * _unit(apart.T @ apart) + (1 - OWN) * _unit(_directions(moves))
    spread = (1 - ANYWHERE) * known + ANYWHERE * torch.eye(width, dtype=means.dtype) / width
    return torch.linalg.eigh(spread)[1].flip(1)


def _directions(moves: Tensor) -> Tensor:
    """The sum of u uᵀ over moves, each u of length |move|^½, so that no single one outweighs all others."""
    length = moves.norm(dim=1, keepdim=True)
    u = moves / length.clamp_min(1e-12) * length.clamp_max(FARTHEST).sqrt()
    return u.T @ u


def _unit(spread: Tensor) -> Tensor:
    """With a trace of one; nothing stays nothing."""
    return spread / spread.trace().clamp_min(1e-12)


@torch.no_grad()
def moves(body: Pooling, images: Images, contract: InputContract, device: torch.device) -> Tensor:
    """``(variations * classes, pooled)`` float64: by what each class's mean moves under each variation.

    Args:
        body: pools what is looked at; mirrored and turned views are left out here, since they change no mean.
        images: own training images with labels.
        contract: how they were prepared.
    """
    labels = labels_of(images)
    rounds = rounds_of(labels)
    size = images_at_once(body, images[0]["image"].shape, device, step=body.numbers, where="variations")
    body.to(device).eval()
    numbers = InParts(lambda part: body.numbers(part.to(device)).double().cpu(), "variations", size)
    found = torch.stack([_moved(numbers, _shown(images, mine), contract) for mine in rounds]).mean(0)
    body.to("cpu")
    return found[torch.isfinite(found).all(1)]


def _moved(numbers: Callable[[Tensor], Tensor], images: Tensor, contract: InputContract) -> Tensor:
    """``(variations * images, pooled)``: by what the numbers of each image move.

    Args:
        numbers: ``(B, pooled)`` of what the network takes.
        images: ``(B, channels, *places)``, one of each class, so that an image's neighbour is of another one.
    """
    low, high = contract.intensity_range

    def seen(unit: Tensor) -> Tensor:
        return numbers(contract.plain.values(unit.clamp(0, 1) * (high - low) + low))

    unit = (contract.intensities(images) - low) / (high - low)
    still = seen(unit)
    changed = variations(images.shape[1]).values()
    return torch.cat([seen(vary(unit)) - still for vary in changed])


def rounds_of(labels: Tensor) -> Tensor:
    """``(rounds, classes)``: positions of some images, in each round one of each class.

    Args:
        labels: ``(N,)`` of all images.

    >>> rounds_of(torch.tensor([0, 0, 1, 1, 1, 1])).tolist()
    [[0, 2], [1, 4]]
    """
    of_class = [(labels == c).nonzero().flatten() for c in labels.unique()]
    fewest = min(SHOWN, *(len(rows) for rows in of_class))
    return torch.stack([mine[torch.arange(fewest) * len(mine) // fewest] for mine in of_class], 1)


def _shown(images: Images, rows: Tensor) -> Tensor:
    return torch.stack([torch.as_tensor(images[int(i)]["image"]) for i in rows])
