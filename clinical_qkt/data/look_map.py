"""From one look to another: what an input contract says if images shall appear as a network knows them.

Tones are moved and mixed as optimal transport between Gaussians would (Monge's map; Pitié and Kokaram, 2007,
for colours), spatial frequencies are raised or lowered. Whatever two looks say, both are held within limits,
so that no map makes one colour or mere noise of an image: looks come from other sites.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated

import torch
from pydantic import Field, model_validator
from torch import Tensor

from clinical_qkt.core.values import Sent
from clinical_qkt.data import look
from clinical_qkt.data.look import Scale

RIDGE = 1e-4
"""Added to the variances of tones: along an axis where tones hardly vary there is nothing to be stretched."""
LEAST_VARIANCE = 2e-4
MOST_STRETCH = 4.0
"""Of tones; they are stretched at most so much, and pressed no further than to its inverse."""
MOST_STEPS = 3
"""Maps, one after the other."""
MOST_GAIN = 3.0
"""Of a band of frequencies, likewise."""

MOST = 100.0
"""No number of an image's look is beyond, far from it."""
Number = Annotated[float, Field(ge=-MOST, le=MOST, allow_inf_nan=False)]
Look = Annotated[list[Number], Field(min_length=8, max_length=160)]
"""The numbers of a look, as ``data.look.names`` names them: the means of tones (optical densities of colour
pictures, shares of the range of others), their covariances over places, and half the natural logarithms of
power."""


class LookMap(Sent):
    """Images that have one look are given another before the network sees them."""

    seen: Look
    """How the images look that are given."""
    wanted: Look
    """How they look after it, as the network knows them."""
    before: LookMap | None = Field(default=None, exclude_if=lambda given: given is None)
    """A map that comes first, where two sites are compared through a third."""

    @model_validator(mode="after")
    def _as_many(self) -> LookMap:
        if len(self.seen) != len(self.wanted):
            raise ValueError("'seen' and 'wanted' are looks of images with different channels")
        if self.before and len(self.before.seen) != len(self.seen):
            raise ValueError("'before' is of images with other channels")
        if self.steps > MOST_STEPS:
            raise ValueError(f"more than {MOST_STEPS} maps, one after the other")
        return self

    @property
    def steps(self) -> int:
        """How many maps there are, one after the other."""
        return 1 if self.before is None else 1 + self.before.steps

    @classmethod
    def between(cls, seen: Tensor, wanted: Tensor, before: LookMap | None = None) -> LookMap:
        """Of two looks, ``(L,)``; numbers that no image has are refused.

        Raises:
            ValueError: NaN, infinity, or beyond 100.
        """
        return cls(seen=seen.tolist(), wanted=wanted.tolist(), before=before)

    def applied(self, shares: Tensor, scale: Scale) -> Tensor:
        """Images in the wanted look.

        Args:
            shares: ``(N, C, *places)`` of the intensities' range, 0 to 1.

        Returns:
            The same shape, 0 to 1.
        """
        if shares.is_meta:  # a package is tried without memory: the shape stays, and there is no number
            return shares
        if self.before:
            shares = self.before.applied(shares, scale)
        mixed, mean, to, gains = _numbers(tuple(self.seen), tuple(self.wanted), shares.shape[1])
        tones = look.tones(shares, scale)
        if scale != "calibrated":
            stretched, middle, goal = (_like(numbers, tones) for numbers in (mixed, mean, to))
            moved = tones.flatten(2) - middle[:, None]
            tones = (stretched @ moved + goal[:, None]).view_as(tones)
        if scale == "optical density":
            tones = tones.clamp_min(0)
        return look.shares(_filtered(tones, gains), scale).to(shares.dtype)


Numbers = tuple[float, ...]


@lru_cache(maxsize=256)
def _numbers(
    seen: Numbers, wanted: Numbers, channels: int
) -> tuple[tuple[Numbers, ...], Numbers, Numbers, Numbers]:
    """Of two looks: how tones are mixed, their means before and after, the gains of bands.

    As plain numbers: where a network is exported they are constants, and nothing has to compute them again.
    """
    (mean, spread, sharpness), (to, to_spread, to_sharpness) = (
        look.parts(torch.tensor(numbers, dtype=torch.float64), channels) for numbers in (seen, wanted)
    )
    mixed = tuple(map(tuple, stretch(spread, to_spread).tolist()))
    gains = gains_of(sharpness, to_sharpness)
    return mixed, tuple(mean.tolist()), tuple(to.tolist()), tuple(gains.tolist())


def _like(numbers: object, tones: Tensor) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64).to(tones)


def stretch(seen: Tensor, wanted: Tensor) -> Tensor:
    """``(C, C)``, symmetric: the map between Gaussians of these covariances, held within limits."""
    one, other = _sound(seen), _sound(wanted)
    root, inverse = _power(one, 0.5), _power(one, -0.5)
    found = inverse @ _power(root @ other @ root, 0.5) @ inverse
    values, vectors = torch.linalg.eigh((found + found.T) / 2)
    return vectors @ values.clamp(1 / MOST_STRETCH, MOST_STRETCH).diag() @ vectors.T


def gains_of(seen: Tensor, wanted: Tensor) -> Tensor:
    """``(BANDS,)`` factors; that of the lowest band is one, since tones are stretched already."""
    change = wanted - seen
    return (change - change[0]).exp().clamp(1 / MOST_GAIN, MOST_GAIN)


def _filtered(tones: Tensor, gains: Numbers) -> Tensor:
    """Each frequency times the gain of its band, linear between the middles of bands."""
    if all(gain == 1 for gain in gains):
        return tones
    places = tuple(range(2, tones.ndim))
    at = (look.frequencies(tones.shape[2:]) * look.BANDS - 0.5).clamp(0, look.BANDS - 1)
    below = at.floor().long().clamp_max(look.BANDS - 2)
    share, each = at - below, torch.tensor(gains, dtype=torch.float64)
    gain = (1 - share) * each[below] + share * each[below + 1]
    mean = tones.mean(places, keepdim=True)
    spectrum = torch.fft.rfftn(tones - mean, dim=places) * gain.to(tones)
    return torch.fft.irfftn(spectrum, s=tones.shape[2:], dim=places) + mean


def _sound(covariance: Tensor) -> Tensor:
    """A covariance without directions in which nothing varies, whatever was sent."""
    values, vectors = torch.linalg.eigh((covariance + covariance.T) / 2)
    return vectors @ (values.clamp_min(LEAST_VARIANCE) + RIDGE).diag() @ vectors.T


def _power(covariance: Tensor, exponent: float) -> Tensor:
    values, vectors = torch.linalg.eigh((covariance + covariance.T) / 2)
    return vectors @ values.clamp_min(1e-12).pow(exponent).diag() @ vectors.T
