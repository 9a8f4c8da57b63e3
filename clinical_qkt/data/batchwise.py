"""Random symmetries and looks of a whole batch at once, as the transforms would make them image by image.

MONAI's transforms take one image at a time, which on a GPU costs more than training a small network. Here
what they drew is done to all images together. On a CPU the very same transforms draw, in the same order, and
the images are the same: symmetries to the last bit, looks to rounding. On a GPU the GPU draws, with the same
chances, from PyTorch's generator.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch
from monai.transforms import RandFlipd, RandRotate90d
from torch import Tensor

from clinical_qkt.data.look_augmentation import RandLookd


def known(transforms: Sequence[Any]) -> bool:
    """Whether there is a way here for each of them: flips along one axis, quarter turns, and looks."""
    return all(
        (type(t) is RandFlipd and isinstance(t.flipper.spatial_axis, int))
        or type(t) in (RandRotate90d, RandLookd)
        for t in transforms
    )


def changed(images: Tensor, transforms: Sequence[Any]) -> Tensor:
    """A batch, each image changed by itself.

    Args:
        images: ``(B, channels, *places)`` on any device; squares where they are turned.
        transforms: that are ``known``; on a CPU their random states go on as if each had seen all images.
    """
    for transform in transforms:
        if isinstance(transform, RandLookd):
            images = transform.of_batch(images)
        elif isinstance(transform, RandFlipd):
            chosen, _ = _drawn(transform, len(images), images.device)
            axis: Any = transform.flipper.spatial_axis  # of several that MONAI allows one is known, see above
            images = _flipped(images, chosen, axis + 2)
        else:
            images = _turned(images, transform)
    return images


def _turned(images: Tensor, transform: Any) -> Tensor:
    """By quarters, each of which is a flip and a transposition."""
    chosen, turns = _drawn(transform, len(images), images.device)
    flips, more_flips, transpositions = _steps(images.device)[:, turns * chosen]
    first, second = (axis + 2 for axis in transform.spatial_axes)
    images = _flipped(_flipped(images, flips, second), more_flips, first)
    return _where(images, transpositions, lambda x: x.transpose(first, second))


@cache
def _steps(device: torch.device) -> Tensor:
    """What no, one, two and three quarter turns are made of: two flips and a transposition, or some of it."""
    return torch.tensor([[0, 1, 1, 0], [0, 0, 1, 1], [0, 1, 0, 1]], dtype=torch.bool, device=device)


def _drawn(transform: Any, images: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """For each image whether it is changed, and by how many quarter turns, if it is turned at all."""
    if device.type == "cuda":
        chosen = torch.rand(images, device=device) < transform.prob
        return chosen, torch.randint(1, getattr(transform, "max_k", 1) + 1, (images,), device=device)
    drawn = []
    for _ in range(images):
        transform.randomize(None)
        drawn.append((transform._do_transform, getattr(transform, "_rand_k", 1)))
    chosen, turns = zip(*drawn, strict=True)
    return torch.tensor(chosen), torch.tensor(turns)


def _flipped(images: Tensor, chosen: Tensor, axis: int) -> Tensor:
    return _where(images, chosen, lambda x: x.flip(axis))


def _where(images: Tensor, chosen: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """Those images changed that are chosen."""
    return torch.where(chosen.view(-1, *[1] * (images.ndim - 1)), change(images), images)
