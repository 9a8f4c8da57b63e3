"""New looks for the images that a network is trained on, so that it does not learn its own site's look.

A look is what scanner, stain and exposure make of an image: nothing of what it shows. How large the changes
are is told in the same numbers as the differences between sites in the benchmark's scenarios with shift.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
import torch
from monai.networks.layers import gaussian_1d, separable_filtering
from monai.transforms import MapTransform, RandomizableTransform
from torch import Tensor

from clinical_qkt.core.terms import LookAugmentation
from clinical_qkt.data.inputs import InputContract

Part = Literal["stain", "tone", "gain", "sharpness", "noise"]

SIDE = 28
"""Sharpness is told in so many parts of an image's shortest side, so that it is the same at any size."""

CHANGED = 0.5
"""How often a training changes an image's look: the site's own is the one that matters most to it."""


@dataclass(frozen=True)
class Sizes:
    """How far a look may be from the image's own; brightness is counted from 0 to 1.

    Attributes:
        mixing, stain: standard deviations of what is added to the matrix that mixes the channels' optical
            densities, off its diagonal and on it.
        gamma: of the exponent's logarithm.
        gain, offset: of each channel's factor, less one, and of what is added to it.
        blur: the standard deviation of the strongest blur, in pixels of an image of ``SIDE``.
        sharpening: the most of what a blur by one such pixel takes away that is added.
        noise: the largest standard deviation.
    """

    mixing: float
    stain: float
    gamma: float
    gain: float
    offset: float
    blur: float
    sharpening: float
    noise: float


SIZES: Mapping[LookAugmentation, Sizes] = {
    "mild": Sizes(
        mixing=0.04, stain=0.08, gamma=0.08, gain=0.03, offset=0.015, blur=0.4, sharpening=0.3, noise=0.01
    ),
    "strong": Sizes(
        mixing=0.12, stain=0.24, gamma=0.24, gain=0.10, offset=0.05, blur=1.0, sharpening=1.0, noise=0.04
    ),
}


def look_augmentation(level: LookAugmentation, contract: InputContract) -> list[Any]:
    """MONAI transforms that give an image a new look, every other time; none for ``none``.

    Args:
        contract: what the images were prepared for.
    """
    return [] if level == "none" else [RandLookd(level, contract, CHANGED)]


def parts(contract: InputContract) -> frozenset[Part]:
    """What may differ between two looks of images of a kind.

    Colour pictures are stained; a grey picture has a tone. Hounsfield units are a scale, so that only
    sharpness and noise are left; numbers relative to their volume have no fixed scale but no tone either.
    """
    if contract.intensity == "HU":
        return frozenset({"sharpness", "noise"})
    if contract.intensity == "relative":
        return frozenset({"gain", "sharpness"})
    tone: frozenset[Part] = frozenset({"tone", "sharpness"})
    return tone | {"stain", "noise"} if contract.channels == 3 else tone


@dataclass(frozen=True)
class Draws:
    """What was drawn for a batch.

    Attributes:
        normal: ``(B, C² + 2 C + 1)`` for mixing, gain, offset and gamma, from the standard normal.
        uniform: ``(B, 2)`` for sharpness and noise, from 0 to 1; a third for whether an image is changed at
            all, where that is left to chance.
        noise: ``(B, C, *places)``, standard normal; None where there is none.
    """

    normal: Tensor
    uniform: Tensor
    noise: Tensor | None


class RandLookd(RandomizableTransform, MapTransform):
    """Gives an image a look of its own; what is drawn for it depends on no other image.

    Args:
        level: how large the changes are.
        contract: what the images were prepared for.
        prob: of an image to be changed at all.
        key: of the image, ``(channels, *spatial_size)`` as a network takes it.
    """

    def __init__(
        self, level: LookAugmentation, contract: InputContract, prob: float = 1.0, key: str = "image"
    ) -> None:
        MapTransform.__init__(self, key)
        RandomizableTransform.__init__(self, prob)
        self.key, self.sizes, self.contract = key, SIZES[level], contract.plain
        self.parts = parts(contract)
        self.name = f"{type(self).__name__} {level}"

    def __call__(self, data: Mapping[Any, Any]) -> dict[Any, Any]:
        return {**data, self.key: self.of_batch(torch.as_tensor(data[self.key])[None])[0]}

    def of_batch(self, images: Tensor) -> Tensor:
        """``(B, channels, *places)`` on any device, each with a look of its own if it is changed at all.

        A GPU draws from PyTorch's generator; on a CPU the transform's own random state goes on as if it had
        been given one image after the other.
        """
        low, high = (0.0, 255.0) if self.contract.intensity == "display" else self.contract.intensity_range
        seen = (self.contract.intensities(images) - low) / (high - low)
        draws = self._drawn(images)
        seen = changed(seen, self.parts, self.sizes, draws).clamp(0, 1)
        looks = self.contract.values(seen * (high - low) + low).to(images.dtype)
        if self.prob >= 1:
            return looks
        return torch.where(_wide(draws.uniform[:, 2:] < self.prob, images), looks, images)

    def _drawn(self, images: Tensor) -> Draws:
        numbers, channels = len(images), images.shape[1]
        normals, noisy = channels**2 + 2 * channels + 1, "noise" in self.parts
        uniforms = 2 if self.prob >= 1 else 3
        if images.device.type != "cpu":
            normal = torch.randn(numbers, normals, device=images.device)
            uniform = torch.rand(numbers, uniforms, device=images.device)
            return Draws(normal, uniform, torch.randn_like(images) if noisy else None)
        drawn = []
        for _ in range(numbers):
            noise = self.R.standard_normal(images.shape[1:]) if noisy else np.empty(0)
            drawn.append((self.R.standard_normal(normals), self.R.uniform(size=uniforms), noise))
        normal, uniform, noises = (
            torch.from_numpy(np.stack(each)).float() for each in zip(*drawn, strict=True)
        )
        return Draws(normal, uniform, noises if noisy else None)


def changed(images: Tensor, parts: frozenset[Part], sizes: Sizes, draws: Draws) -> Tensor:
    """Images with other looks, not yet clipped.

    Args:
        images: ``(B, C, *places)``, brightness or whatever else from 0 to 1.
    """
    channels = images.shape[1]
    mixing, gain, offset, gamma = draws.normal.split([channels**2, channels, channels, 1], 1)
    if "stain" in parts:
        images = _stained(images, mixing.unflatten(1, (channels, channels)), sizes)
    if "tone" in parts:
        images = images.clamp_min(0) ** _wide((sizes.gamma * gamma).exp(), images)
    if parts & {"tone", "gain"}:
        images = images * _wide(1 + sizes.gain * gain, images)
    if "tone" in parts:
        images = images + _wide(sizes.offset * offset, images)
    if "sharpness" in parts:
        images = _sharpened(images, draws.uniform[:, :1], sizes)
    if draws.noise is not None:
        images = images + draws.noise * _wide(sizes.noise * draws.uniform[:, 1:2], images)
    return images


def _stained(images: Tensor, normal: Tensor, sizes: Sizes) -> Tensor:
    """Channels' optical densities mixed, ``-log10((I + 1) / 256)`` of intensities from 0 to 255."""
    density = -((255 * images + 1) / 256).clamp_min(1 / 256).log10()
    one = torch.eye(images.shape[1], device=images.device)
    mixing = one + normal * (sizes.mixing * (1 - one) + sizes.stain * one)
    mixed = torch.einsum("bij,bj...->bi...", mixing, density).clamp_min(0)
    return (256 * 10**-mixed - 1) / 255


def _sharpened(images: Tensor, uniform: Tensor, sizes: Sizes) -> Tensor:
    """Between each image and its blur, as far as variances say, or as far on the other side of it."""
    kernel = _kernel(min(images.shape[2:]), images.device)
    blurred = separable_filtering(images, [kernel] * (images.ndim - 2), mode="replicate")
    amount = (sizes.blur**2 + sizes.sharpening) * uniform - sizes.sharpening
    return torch.lerp(images, blurred, _wide(amount, images))


@cache
def _kernel(side: int, device: torch.device) -> Tensor:
    """A blur by one pixel of an image of ``SIDE``; kept, since a GPU would be waited for each time."""
    return gaussian_1d(torch.tensor(side / SIDE), truncated=3.0).to(device)


def _wide(numbers: Tensor, images: Tensor) -> Tensor:
    """``(B, C)`` or ``(B, 1)`` beside images."""
    return numbers.reshape(*numbers.shape, *[1] * (images.ndim - 2))
