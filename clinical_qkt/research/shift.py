"""Sites whose images look different: each has a fixed look, drawn by a seed.

A look is what stain, exposure, optics and camera make of pictures that would be alike elsewhere. The same
site's look at another level differs in strength alone, so that levels can be compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor
from torch.nn import functional as F

Level = Literal["mild", "medium", "strong"]
Shift = Literal["none", "mild", "medium", "strong"]
Part = Literal["stain", "gamma", "gain", "sharpness", "noise", "resolution", "magnification"]
PARTS: tuple[Part, ...] = get_args(Part)
USUAL: tuple[Part, ...] = tuple(part for part in PARTS if part != "magnification")
"""What a look changes unless told otherwise; how large things appear is left as it is."""
SIDE = 28
"""Blur is told in so many parts of the picture's shorter side, so that it is the same at any size."""
_LOOK, _NOISE = 17, 18  # streams of random numbers


class Strength(NamedTuple):
    """How far looks go at a level: standard deviations (sd), or the most of an even distribution.

    Attributes:
        mixing: sd of the share of another channel's optical density that is added to a channel's.
        density: sd of the factor of a channel's own optical density, around 1.
        gamma: sd of the logarithm of the exponent of intensities.
        gain, offset: sd, a channel, of intensities between 0 and 1.
        blur: most, sigma in pixels of a picture of 28.
        sharpening: most, share of what a blur of one such pixel takes away that is added.
        noise: most, sd of intensities between 0 and 1.
        resolution: most by which the number of pixels a side differs from 1, as a factor.
        magnification: most by which the size of things differs from 1, as a factor.
    """

    mixing: float
    density: float
    gamma: float
    gain: float
    offset: float
    blur: float
    sharpening: float
    noise: float
    resolution: float
    magnification: float


STRENGTHS: dict[Level, Strength] = {
    "mild": Strength(0.04, 0.08, 0.08, 0.03, 0.015, 0.4, 0.3, 0.01, 0.15, 0.08),
    "medium": Strength(0.08, 0.16, 0.16, 0.06, 0.03, 0.7, 0.6, 0.02, 0.28, 0.15),
    "strong": Strength(0.12, 0.24, 0.24, 0.10, 0.05, 1.0, 1.0, 0.04, 0.40, 0.25),
}


@dataclass(frozen=True)
class Look:
    """How a site's pictures look, against how they would without it.

    Attributes:
        stain: ``(C, C)``: optical densities are multiplied by it.
        gamma: exponent of intensities.
        gain, offset: of each channel.
        blur: sigma in pixels of a picture of 28; 0 where it is sharpened.
        sharpening: see ``Strength``.
        noise: sd of intensities between 0 and 1; drawn anew for each picture.
        resolution, magnification: factors.
        drawn: seed and site, from which noise is drawn.
    """

    stain: tuple[tuple[float, ...], ...]
    gamma: float
    gain: tuple[float, ...]
    offset: tuple[float, ...]
    blur: float
    sharpening: float
    noise: float
    resolution: float
    magnification: float
    drawn: tuple[int, int]

    def of(self, images: Tensor, positions: Sequence[int]) -> Tensor:
        """Pictures as the site shows them: always the same for a picture, whichever others are beside it.

        Args:
            images: ``(N, C, *places)``, two axes of places, brightness as displayed from 0 to 255.
            positions: of each in the data, from which its noise is drawn.

        Returns:
            The same shape, whole numbers from 0 to 255 as uint8.
        """
        seen = magnified(images.float(), self.magnification)
        seen = self._exposed(self._stained(seen))
        seen = (self._focused(seen) + self._noise(seen, positions)).clamp(0, 1)
        return (255 * coarsened(seen, self.resolution)).round().clamp(0, 255).to(torch.uint8)

    def _stained(self, images: Tensor) -> Tensor:
        """Intensities from 0 to 1 after Beer and Lambert: dyes add up in optical density."""
        density = -torch.log((images + 1) / 256)
        mixed = torch.einsum("cd,ndhw->nchw", torch.tensor(self.stain), density)
        return ((256 * torch.exp(-mixed) - 1) / 255).clamp(0, 1)

    def _exposed(self, images: Tensor) -> Tensor:
        gain, offset = (torch.tensor(values)[:, None, None] for values in (self.gain, self.offset))
        return (gain * images**self.gamma + offset).clamp(0, 1)

    def _focused(self, images: Tensor) -> Tensor:
        pixel = min(images.shape[2:]) / SIDE
        if self.blur:
            return blurred(images, pixel * self.blur)
        if self.sharpening:
            return images + self.sharpening * (images - blurred(images, pixel))
        return images

    def _noise(self, images: Tensor, positions: Sequence[int]) -> Tensor:
        if not self.noise:
            return torch.zeros(())
        shape = images.shape[1:]
        seeds = [[*self.drawn, _NOISE, int(i)] for i in positions]
        drawn = np.stack([np.random.default_rng(s).standard_normal(shape, np.float32) for s in seeds])
        return self.noise * torch.from_numpy(drawn)


def look_of(seed: int, site: int, level: Level, parts: Sequence[Part] = USUAL, channels: int = 3) -> Look:
    """The look of a site.

    Args:
        site: its number, from 0.
        parts: what differs; the rest is as if the site had no look. Which are left out changes no other.
        channels: of its pictures, 1 or 3. Grey ones have no dyes that could mix; their density alone changes.
    """
    most, rng = STRENGTHS[level], np.random.default_rng([seed, site, _LOOK])
    mixing, own = rng.standard_normal((3, 3)), rng.standard_normal(3)
    gamma, gain, offset = rng.standard_normal(), rng.standard_normal(3), rng.standard_normal(3)
    blurs, amount, noise = rng.random() < 0.5, rng.random(), rng.random()
    resolution, magnification = rng.uniform(-1, 1, 2)
    stain = np.where(np.eye(3), 1 + most.density * own, most.mixing * mixing)[:channels, :channels]

    def on(part: Part) -> bool:
        return part in parts

    return Look(
        stain=_nested(stain if on("stain") else np.eye(channels)),
        gamma=float(np.exp(on("gamma") * most.gamma * gamma)),
        gain=tuple((1 + on("gain") * most.gain * gain[:channels]).tolist()),
        offset=tuple((on("gain") * most.offset * offset[:channels]).tolist()),
        blur=on("sharpness") * blurs * most.blur * amount,
        sharpening=on("sharpness") * (not blurs) * most.sharpening * amount,
        noise=on("noise") * most.noise * noise,
        resolution=float(1 + on("resolution") * most.resolution * resolution),
        magnification=float(1 + on("magnification") * most.magnification * magnification),
        drawn=(seed, site),
    )


def blurred(images: Tensor, sigma: float) -> Tensor:
    """``(N, C, *places)`` through a Gaussian of so many pixels."""
    return torch.from_numpy(gaussian_filter(images.numpy(), (0, 0, sigma, sigma), mode="nearest"))


def coarsened(images: Tensor, factor: float) -> Tensor:
    """``(N, C, *places)`` through a grid of so many times the pixels a side, and back."""
    size = [max(2, round(factor * n)) for n in images.shape[2:]]
    if size == list(images.shape[2:]):
        return images
    there = F.interpolate(images, size=size, mode="bilinear", antialias=True)
    return F.interpolate(there, size=images.shape[2:], mode="bilinear", antialias=True)


def magnified(images: Tensor, factor: float) -> Tensor:
    """``(N, C, *places)`` with things so many times larger: cropped, or padded by mirrors."""
    if factor == 1:
        return images
    scale = torch.tensor([[1 / factor, 0.0, 0.0], [0.0, 1 / factor, 0.0]]).expand(len(images), 2, 3)
    grid = F.affine_grid(scale, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


def _nested(matrix: np.ndarray) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row) for row in matrix.tolist())
