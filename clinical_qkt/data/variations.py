"""Generic variations of images: how else could something look that belongs to none of a site's own classes?

Larger or smaller, darker or paler, rougher, rounder, of another colour, with the looks of another image. What
they move in a feature space tells where a class that the site has never seen may lie; see ``axes``. Nothing
is known here of what the images show. All work on grey images and colour, on pictures and volumes.

Images are ``(B, channels, *places)`` with values from 0 to 1; what a variation gives may lie outside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial, reduce

import torch
from monai.networks.layers import gaussian_1d
from scipy.fft import next_fast_len
from torch import Tensor
from torch.nn import functional as F

Variation = Callable[[Tensor], Tensor]

ZOOMS = (0.6, 0.75, 0.87, 1.15, 1.35, 1.7)
BLURS = (0.02, 0.035, 0.07, 0.12)
"""Standard deviations, as shares of the shortest side."""
SHARPER = ((1.0, 0.03), (2.0, 0.03), (1.0, 0.08))
"""By how much of what a blur of this width takes away."""
ROUNDS = (3, 5)
"""Places across."""
GAINS = (0.6, 1.5)
GAMMAS = (0.5, 0.7, 1.5, 2.0)
BANDS = ((0.0, 0.1), (0.1, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 1.0))
"""Of an image's places, from the darkest to the brightest."""
STEP = 0.15
MIDDLES, OBJECT_ZOOMS = (0.35, 0.6), (0.7, 1.4)
"""Radii of the middle of an image, half its side being 1; what lies there is taken for the object."""


def variations(channels: int) -> dict[str, Variation]:
    """All variations by name, some eighty for colour."""
    found = dict(_shape())
    found |= dict(_tone(channels))
    found |= dict(_bands(channels))
    found |= dict(_middle())
    return found | dict(_looks())


def _shape() -> Iterator[tuple[str, Variation]]:
    for zoom in ZOOMS:
        yield f"zoom {zoom}", partial(zoomed, size=zoom)
    for width in BLURS:
        yield f"blur {width}", partial(blurred, share=width)
    for much, width in SHARPER:
        yield f"sharpen {much} {width}", partial(sharpened, much=much, share=width)
    for size in ROUNDS:
        yield f"erode {size}", partial(eroded, size=size)
        yield f"dilate {size}", partial(dilated, size=size)
        yield f"open {size}", partial(opened, size=size)
        yield f"close {size}", partial(closed, size=size)


def _tone(channels: int) -> Iterator[tuple[str, Variation]]:
    for gain in GAINS:
        for c in range(channels):
            yield f"gain {gain} of channel {c}", partial(_gained, gain=gain, channel=c)
    for gamma in GAMMAS:
        yield f"gamma {gamma}", partial(_bent, gamma=gamma)
    yield "inverted", lambda image: 1 - image


def _bands(channels: int) -> Iterator[tuple[str, Variation]]:
    for low, high in BANDS:
        for c in range(channels):
            for step in (-STEP, STEP):
                name = f"{step:+} in channel {c} from {low} to {high}"
                yield name, partial(_shifted, low=low, high=high, channel=c, step=step)


def _middle() -> Iterator[tuple[str, Variation]]:
    for radius in MIDDLES:
        for size in OBJECT_ZOOMS:
            yield (
                f"middle {radius} zoomed {size}",
                partial(_swapped, by=partial(zoomed, size=size), radius=radius),
            )
        yield f"middle {radius} paled", partial(_swapped, by=_usual, radius=radius)
        yield f"middle {radius} blank", partial(_swapped, by=_brightest, radius=radius)
        yield f"middle {radius} blurred", partial(_swapped, by=partial(blurred, share=0.1), radius=radius)


def _looks() -> Iterator[tuple[str, Variation]]:
    """With something of the next image of the batch, which should be of another class."""
    yield "tones of another", _toned
    yield "tones and spread of another", _restyled
    yield "amplitudes of another", _amplitudes
    yield "the brighter of two", lambda image: torch.maximum(image, image.roll(1, 0))
    yield "the darker of two", lambda image: torch.minimum(image, image.roll(1, 0))


def zoomed(image: Tensor, size: float) -> Tensor:
    """Around the middle, mirrored at the edges."""
    places = image.ndim - 2
    turn = torch.zeros(len(image), places, places + 1, device=image.device)
    turn[:, :, :places] = torch.eye(places, device=image.device) / size
    grid = F.affine_grid(turn, list(image.shape), align_corners=False)
    return F.grid_sample(image, grid, padding_mode="reflection", align_corners=False)


def blurred(image: Tensor, share: float) -> Tensor:
    """By a Gaussian whose standard deviation is a share of the shortest side; dark beyond the edges.

    As MONAI's ``GaussianFilter`` does it, but by Fourier transforms: for wide Gaussians in a tenth to a
    sixtieth of the time.
    """
    kernel = gaussian_1d(torch.tensor(share * min(image.shape[2:]), device=image.device))
    for axis in range(2, image.ndim):
        image = _convolved(image, kernel, axis)
    return image


def _convolved(image: Tensor, kernel: Tensor, axis: int) -> Tensor:
    """With zeros beyond the edges, as far as the kernel reaches."""
    places, reach = image.shape[axis], len(kernel) // 2
    room = next_fast_len(places + 2 * reach, real=True)
    gains = torch.fft.rfft(kernel, room).view(-1, *[1] * (image.ndim - 1 - axis))
    waves = torch.fft.rfft(image, room, dim=axis) * gains
    return torch.fft.irfft(waves, room, dim=axis).narrow(axis, reach, places)


def sharpened(image: Tensor, much: float, share: float) -> Tensor:
    """By so much of what a blur takes away."""
    return image + much * (image - blurred(image, share))


def dilated(image: Tensor, size: int) -> Tensor:
    """The largest value within a square or cube of so many places."""
    padded = F.pad(image, [size // 2] * 2 * (image.ndim - 2), mode="replicate")
    for axis in range(2, image.ndim):  # PyTorch's max_pool takes ten times as long
        places = image.shape[axis]
        padded = reduce(torch.maximum, (padded.narrow(axis, k, places) for k in range(size)))
    return padded


def eroded(image: Tensor, size: int) -> Tensor:
    """The smallest value within a square or cube of so many places."""
    return -dilated(-image, size)


def opened(image: Tensor, size: int) -> Tensor:
    """Without bright spots that are smaller."""
    return dilated(eroded(image, size), size)


def closed(image: Tensor, size: int) -> Tensor:
    """Without dark spots that are smaller."""
    return eroded(dilated(image, size), size)


def _usual(image: Tensor) -> Tensor:
    """The median of each channel: mostly the background."""
    return _per_channel(image, image.flatten(2).median(2).values)


def _brightest(image: Tensor) -> Tensor:
    return _per_channel(image, image.flatten(2).amax(2))


def _per_channel(image: Tensor, numbers: Tensor) -> Tensor:
    return numbers.view(*image.shape[:2], *[1] * (image.ndim - 2)).expand_as(image)


def _gained(image: Tensor, gain: float, channel: int) -> Tensor:
    """One channel's distance from its median, stretched."""
    usual, changed = _usual(image), image.clone()
    changed[:, channel] = (usual + gain * (image - usual))[:, channel]
    return changed


def _bent(image: Tensor, gamma: float) -> Tensor:
    return image.clamp_min(1e-6) ** gamma


def _shifted(image: Tensor, low: float, high: float, channel: int, step: float) -> Tensor:
    """One channel darker or brighter, where the image is as bright as between two shares of its places."""
    light = image.mean(1)
    least, most = (_below(light, share) for share in (low, high))
    changed = image.clone()
    changed[:, channel] += step * ((light >= least) & (light <= most))
    return changed


def _below(light: Tensor, share: float) -> Tensor:
    """Of each image the brightness above that of such a share of its places."""
    places = light.flatten(1)
    found = places.kthvalue(1 + round(share * (places.shape[1] - 1)), 1).values
    return found.view(-1, *[1] * (light.ndim - 1))


def _swapped(image: Tensor, by: Variation, radius: float) -> Tensor:
    """The image, and in its middle what a variation makes of it, with a soft edge."""
    places = [torch.linspace(-1, 1, n, device=image.device) for n in image.shape[2:]]
    far = torch.stack(torch.meshgrid(*places, indexing="ij")).norm(dim=0)
    inside = torch.sigmoid((radius - far) * 12)
    return image * (1 - inside) + by(image) * inside


def _toned(image: Tensor) -> Tensor:
    """Every channel with the values of the other image, in its own order."""
    own = image.flatten(2)
    others = image.roll(1, 0).flatten(2).sort(2).values
    return torch.empty_like(own).scatter(2, own.argsort(2), others).view_as(image)


def _restyled(image: Tensor) -> Tensor:
    """Every channel with mean and spread of the other image (adaptive instance normalisation)."""
    other, places = image.roll(1, 0), tuple(range(2, image.ndim))
    mean, spread = image.mean(places, keepdim=True), image.std(places, keepdim=True) + 1e-3
    return (image - mean) / spread * other.std(places, keepdim=True) + other.mean(places, keepdim=True)


def _amplitudes(image: Tensor) -> Tensor:
    """The other image's strength at every frequency, at the places where this one's waves are."""
    places = tuple(range(2, image.ndim))
    waves, others = torch.fft.fftn(image, dim=places), torch.fft.fftn(image.roll(1, 0), dim=places)
    return torch.fft.ifftn(torch.polar(others.abs(), waves.angle()), dim=places).real
