"""The look of images: how they appear, whatever they show, in a few numbers.

Stain, exposure and window move and mix the channels' tones, optics and resampling change the sharpness. So of
each image are taken the means of its tones over all places, their covariance over these, and the logarithm of
its power in bands of spatial frequency. How a set of images looks is told by their middle.

Of colour pictures tones are optical densities, in which a stain adds up (Beer and Lambert; Ruifrok and
Johnston, 2001). Of grey pictures and of intensities relative to their volume they are the intensities, which
a window or a gain changes linearly. Hounsfield units are calibrated: their tones mean something, so a map
leaves them as they are and changes the sharpness alone (a reconstruction kernel's).
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor

Scale = Literal["optical density", "linear", "calibrated"]
"""What the tones of images are, see above."""
BANDS = 6
"""Of spatial frequency, equally wide, up to half a cycle a pixel or voxel."""
LEAST_POWER = 1e-8
"""Of a band; images that are grey all over have none."""
LEVELS = 256


def scale_of(intensity: str, channels: int) -> Scale:
    """What the tones of images are that an input contract describes so."""
    if intensity == "HU":
        return "calibrated"
    return "optical density" if intensity == "display" and channels == 3 else "linear"


def numbers(channels: int) -> int:
    """How many numbers a look has.

    >>> numbers(3), numbers(1)
    (15, 8)
    """
    return channels + channels * (channels + 1) // 2 + BANDS


def names(channels: int) -> list[str]:
    """What each number is, in order.

    >>> names(1)[:3]
    ['mean', 'variance', 'sharpness 1']
    """
    which = ["red", "green", "blue"] if channels == 3 else [str(c + 1) for c in range(channels)]
    if channels == 1:
        first = ["mean", "variance"]
    else:
        pairs = [(which[i], which[j]) for i in range(channels) for j in range(i, channels)]
        first = [f"mean {w}" for w in which] + [f"{a} x {b}" for a, b in pairs]
    return first + [f"sharpness {k + 1}" for k in range(BANDS)]


def tones(shares: Tensor, scale: Scale) -> Tensor:
    """Intensities as shares of their range, 0 to 1, to tones."""
    if scale != "optical density":
        return shares
    return -torch.log10((shares * (LEVELS - 1) + 1) / LEVELS)


def shares(of_tones: Tensor, scale: Scale) -> Tensor:
    """Tones back to shares of the range, 0 to 1; what lies beyond is held at its end."""
    if scale == "optical density":
        of_tones = (LEVELS * 10**-of_tones - 1) / (LEVELS - 1)
    return of_tones.clamp(0, 1)


def measured(given: Tensor, scale: Scale) -> Tensor:
    """The numbers of each image.

    Args:
        given: ``(N, C, *places)`` shares of the intensities' range, 0 to 1.

    Returns:
        ``(N, numbers(C))`` float64.
    """
    of_tones = tones(given.double(), scale)
    flat = of_tones.flatten(2)
    around = flat - flat.mean(2, keepdim=True)
    covariance = around @ around.transpose(1, 2) / flat.shape[2]
    upper = torch.triu_indices(flat.shape[1], flat.shape[1])
    return torch.cat([flat.mean(2), covariance[:, upper[0], upper[1]], _sharpness(of_tones)], 1)


def parts(look: Tensor, channels: int) -> tuple[Tensor, Tensor, Tensor]:
    """Mean tones ``(C,)``, their covariance over an image's places ``(C, C)`` and sharpness ``(BANDS,)``."""
    mean, products, sharpness = look.split([channels, channels * (channels + 1) // 2, BANDS])
    covariance = look.new_zeros(channels, channels)
    upper = torch.triu_indices(channels, channels)
    covariance[upper[0], upper[1]] = products
    covariance[upper[1], upper[0]] = products
    return mean, covariance, sharpness


def joined(mean: Tensor, covariance: Tensor, sharpness: Tensor) -> Tensor:
    """The look that ``parts`` takes apart."""
    upper = torch.triu_indices(len(mean), len(mean))
    return torch.cat([mean, covariance[upper[0], upper[1]], sharpness])


def frequencies(places: torch.Size | tuple[int, ...]) -> Tensor:
    """Of each place of a half spectrum as ``torch.fft.rfftn`` gives it, in units of half a cycle a place."""
    axes = [torch.fft.fftfreq(n, dtype=torch.float64) for n in places[:-1]]
    axes.append(torch.fft.rfftfreq(places[-1], dtype=torch.float64))
    grid = torch.meshgrid(*axes, indexing="ij")
    return 2 * torch.stack(grid).square().sum(0).sqrt()


def _sharpness(of_tones: Tensor) -> Tensor:
    """``(N, BANDS)``: half the logarithm of the mean power of each band, of the channels' mean."""
    grey = of_tones.mean(1)
    places = tuple(range(1, grey.ndim))
    spectrum = torch.fft.rfftn(grey - grey.mean(places, keepdim=True), dim=places)
    power = spectrum.abs().square() / math.prod(grey.shape[1:])
    of_bands = [power.flatten(1)[:, band].mean(1) for band in _bands(tuple(grey.shape[1:]))]
    return (torch.stack(of_bands, 1) + LEAST_POWER).log() / 2


@lru_cache(maxsize=8)
def _bands(places: tuple[int, ...]) -> list[Tensor]:
    """Of each band where its frequencies lie in a half spectrum; kept, since all images have one size."""
    at = frequencies(places).flatten()
    band, found = (
        torch.where(at > 0, (at * BANDS).floor(), -1),
        [],
    )  # at zero lies the mean, which is taken off
    for k in range(BANDS):
        while not (band == k).any():  # of few places none may be of a low band: the next stands for it
            k += 1
        found.append((band == k).nonzero().flatten())
    return found
