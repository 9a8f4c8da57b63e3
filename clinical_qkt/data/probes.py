"""Images that mean nothing: noise at several scales and random shapes, made as many at a time as wanted.

However they are dealt over batches, the same seed gives the same images: all that is small is drawn
beforehand, and the noise of each pixel comes from a stream of its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

SCALES = (1, 2, 4, 8)
"""By what factor a coarse random grid is enlarged to the input size."""
SHAPES = 3
"""The most discs, or balls, in a probe of shapes."""
COPIES = 6
"""Of an image, that its making takes at most, itself among them; see tests/data/test_probes.py."""
_LUMP = 2**16
"""Numbers that are drawn at once: a multiple of 16, since torch draws by sixteen."""


class Normals:
    """``torch.randn(total)``, the very same numbers, of which no more is held than is asked for.

    Args:
        generator: stands where it stood until numbers are taken, and after the last one where it would.
    """

    def __init__(self, total: int, generator: torch.Generator) -> None:
        self.left, self.generator, self._ready = total, generator, torch.empty(0)

    def take(self, *shape: int) -> Tensor:
        """The next ones."""
        wanted, parts = math.prod(shape), []
        while wanted:
            if not len(self._ready):
                self._ready = self._drawn()
            part, self._ready = self._ready[:wanted], self._ready[wanted:]
            wanted -= len(part)
            parts.append(part)
        return torch.cat(parts).view(shape) if parts else torch.empty(shape)

    def pass_by(self) -> None:
        """Leave out all that are left."""
        while self.left:
            self._drawn()

    def _drawn(self) -> Tensor:
        """The next lump; the last one takes what would be too few for one of its own."""
        count = self.left if self.left < _LUMP + 16 else _LUMP
        self.left -= count
        return torch.randn(count, generator=self.generator)


class Noise:
    """Noise images at several scales, dealt in turn, with a random gain and offset of each image and channel.

    Args:
        count: images in all.
        channels: of an image.
        spatial_size: 2 or 3 sizes in pixels or voxels.
        low, high: the range that images are cut to.
        generator: the source of randomness; afterwards it stands behind all that these images take.
    """

    def __init__(
        self,
        count: int,
        channels: int,
        spatial_size: Sequence[int],
        low: float,
        high: float,
        generator: torch.Generator,
    ) -> None:
        self.channels, self.size, self.low, self.high, self.made = channels, tuple(spatial_size), low, high, 0
        one, self.scales = (1,) * len(spatial_size), []
        for k, scale in enumerate(SCALES):
            images, grid = len(range(k, count, len(SCALES))), [max(1, -(-s // scale)) for s in spatial_size]
            stream = Normals(images * channels * math.prod(grid), generator.clone_state())
            Normals(stream.left, generator).pass_by()
            gain = torch.rand(images, channels, *one, generator=generator)
            offset = torch.rand(images, channels, *one, generator=generator) * 2 - 1
            self.scales.append(_Scale(grid, stream, gain, offset))

    def take(self, count: int) -> Tensor:
        """The next ones, ``(count, channels, *spatial_size)``."""
        middle, half = (self.low + self.high) / 2, (self.high - self.low) / 2
        images = torch.empty(count, self.channels, *self.size)
        for k, scale in enumerate(self.scales):
            mine = images[(k - self.made) % len(SCALES) :: len(SCALES)]
            if len(mine):
                mine.copy_(scale.take(len(mine), self.size)).mul_(half).add_(middle)
        self.made += count
        return images.clamp_(self.low, self.high)


@dataclass
class _Scale:
    """The noise of one scale: its grid, its numbers, and gain and offset of each image and channel."""

    grid: list[int]
    stream: Normals
    gain: Tensor
    offset: Tensor
    made: int = 0

    def take(self, count: int, size: tuple[int, ...]) -> Tensor:
        rows = slice(self.made, self.made + count)
        self.made += count
        noise = self.stream.take(count, self.gain.shape[1], *self.grid)
        if noise.shape[2:] != size:
            mode = "bilinear" if len(size) == 2 else "trilinear"
            noise = F.interpolate(noise, size=size, mode=mode, align_corners=False)
        return noise.mul_(self.gain[rows]).add_(self.offset[rows])


class Shapes:
    """Discs (in 3D: balls) of random place, size and colour on a plain ground, with some noise.

    Arguments as for ``Noise``; the generator stands behind all that these images take once they are taken.
    """

    def __init__(
        self,
        count: int,
        channels: int,
        spatial_size: Sequence[int],
        low: float,
        high: float,
        generator: torch.Generator,
    ) -> None:
        self.size, self.low, self.high, self.made = tuple(spatial_size), low, high, 0
        one = (1,) * len(spatial_size)

        def random(*shape: int) -> Tensor:
            return torch.rand(count, *shape, generator=generator)

        self.ground = random(channels, *one) * 2 - 1
        self.discs = []
        for _ in range(SHAPES):
            radius = 0.03 + 0.4 * random(*one) ** 2
            centre = [random(*one) for _ in spatial_size]
            there, colour = random(*one) < 0.7, random(channels, *one) * 2 - 1
            self.discs.append(_Disc(radius**2, centre, there, colour))
        self.grain = 0.3 * random(1, *one)
        self.stream = Normals(count * channels * math.prod(spatial_size), generator)

    def take(self, count: int) -> Tensor:
        """The next ones, ``(count, channels, *spatial_size)``."""
        rows = slice(self.made, self.made + count)
        self.made += count
        middle, half = (self.low + self.high) / 2, (self.high - self.low) / 2
        ground = self.ground[rows]
        images = ground.expand(-1, -1, *self.size).clone()
        axes = torch.meshgrid(*(torch.linspace(0, 1, s) for s in self.size), indexing="ij")
        for disc in self.discs:
            images = torch.where(disc.inside(axes, rows)[:, None], disc.colour[rows], images)
        images += self.stream.take(*images.shape).mul_(self.grain[rows])
        return images.mul_(half).add_(middle).clamp_(self.low, self.high)


@dataclass
class _Disc:
    """One disc in each image: its squared radius, where it lies, whether it is there at all, its colour."""

    squared: Tensor
    centre: list[Tensor]
    there: Tensor
    colour: Tensor

    def inside(self, axes: Sequence[Tensor], rows: slice) -> Tensor:
        """``(B, *places)``: which pixels it covers."""
        squares = ((axis - place[rows]).square_() for axis, place in zip(axes, self.centre, strict=True))
        away = next(squares)
        for square in squares:
            away += square
        return (away < self.squared[rows]).logical_and_(self.there[rows])


def multiscale_noise(
    count: int,
    channels: int,
    spatial_size: Sequence[int],
    low: float,
    high: float,
    generator: torch.Generator,
) -> Tensor:
    """``Noise``, all at once: ``(count, channels, *spatial_size)`` within ``[low, high]``."""
    return Noise(count, channels, spatial_size, low, high, generator).take(count)


def random_shapes(
    count: int,
    channels: int,
    spatial_size: Sequence[int],
    low: float,
    high: float,
    generator: torch.Generator,
) -> Tensor:
    """``Shapes``, all at once: ``(count, channels, *spatial_size)`` within ``[low, high]``."""
    return Shapes(count, channels, spatial_size, low, high, generator).take(count)


def probes(
    count: int,
    channels: int,
    spatial_size: Sequence[int],
    low: float,
    high: float,
    *,
    seed: int,
    at_once: int,
) -> Iterator[Tensor]:
    """Probes, half of them noise and half shapes: the same ones in the same order, whatever comes at once.

    Args:
        seed: of all of them.
        at_once: images of a batch, at most.
    """
    generator = torch.Generator().manual_seed(seed)
    for kind, images in ((Noise, count // 2), (Shapes, count - count // 2)):
        made = kind(images, channels, spatial_size, low, high, generator)
        for start in range(0, images, at_once):
            yield made.take(min(at_once, images - start))
