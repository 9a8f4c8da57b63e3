"""Prepared images in a quarter of the memory: whole steps from 0 to 255, scaled when they are taken.

What a contract asks of intensities after an image has its size (``Scaling``) can wait until the image is
needed. Before it, an image whose file has 8 bits and that was not resized holds whole numbers, a byte each
(``WholeSteps``). What is scaled later is scaled by the same operations on the same numbers, so that what a
network is given is the same to the last bit. Images that were resized, brought to another look or had more
bits hold fractions or larger numbers and stay as they are, each by itself.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.transforms import Compose, MapTransform
from monai.utils import convert_to_tensor
from numpy.typing import NDArray
from torch import Tensor


class Scaling(MapTransform):
    """What a contract asks of intensities, in one step: from raw ones to what the network takes.

    Of images of bytes it looks up what the steps make of each of the 256 numbers.

    Args:
        key: of the image.
        steps: MONAI dictionary transforms of this key, none of them random; each number by itself.
    """

    def __init__(self, key: str, steps: Sequence[Any]) -> None:
        super().__init__(key)
        self.key, self.steps = key, Compose(list(steps))
        self.tables: dict[tuple[int, int], NDArray[np.float32]] = {}

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        image = data[self.key]
        if isinstance(image, Tensor) and image.dtype == torch.uint8:
            return {**data, self.key: self._looked_up(image)}
        scaled: dict[Hashable, Any] = self.steps(dict(data))
        return scaled

    def _looked_up(self, image: Tensor) -> Tensor:
        table, steps = self._table(len(image), image.ndim), image.numpy()
        found = np.stack([np.take(row, part) for row, part in zip(table, steps, strict=True)])
        return torch.from_numpy(found)

    def _table(self, channels: int, axes: int) -> NDArray[np.float32]:
        """``(channels, 256)``: what becomes of each number in each channel."""
        if (channels, axes) not in self.tables:
            numbers = torch.arange(256.0).expand(channels, *(1,) * (axes - 2), 256)
            made = self.steps({self.key: numbers.clone()})[self.key]
            self.tables[channels, axes] = torch.as_tensor(made).reshape(channels, 256).numpy()
        return self.tables[channels, axes]


class WholeSteps(MapTransform):
    """Images of whole numbers from 0 to 255 as one byte each, ``uint8``; others as plain ``float32``."""

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        found: dict[Hashable, Any] = dict(data)
        for key in self.keys:
            image = convert_to_tensor(found[key], dtype=torch.float32, track_meta=False)
            small = image.to(torch.uint8)
            found[key] = small if torch.equal(small.float(), image) else image
        return found


class Late:
    """A transform that MONAI's caches take for random, so that they keep what comes before it.

    They cache up to the first step that is random or no MONAI ``Transform``; this is the latter.
    """

    def __init__(self, transform: Scaling) -> None:
        self.transform = transform

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        return self.transform(data)


def compact(transform: Compose) -> Compose:
    """The same transforms, of which a cache keeps bytes where images are whole steps.

    Without a ``Scaling`` among them, such as where a site wrote transforms of its own, they are as they were.
    """
    steps: list[Any] = []
    for step in transform.transforms:
        steps += [WholeSteps(step.keys), Late(step)] if isinstance(step, Scaling) else [step]
    return Compose(steps)
