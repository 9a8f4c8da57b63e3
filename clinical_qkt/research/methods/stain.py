"""Stain normalisation: a site's pictures in the colours of another's, by what pathology does about stains.

Macenko et al. (ISBI 2009) and Vahadane et al. (IEEE TMI 2016) take a picture apart into two stains: what is
left of light falls off exponentially with how much of each lies in its way (Beer and Lambert). The colours of
the stains are then replaced by the reference's, and their amounts scaled so that the strongest agree.
Macenko's stains, by MONAI, are the outermost directions of optical density; Vahadane's two colours of which
each pixel has sparse amounts, not below zero. Reinhard et al. (IEEE CG&A 2001) bring mean and spread of each
axis of an opponent colour space to the reference's.

Ours: at the sources a stain is estimated of one picture of a slide. A picture of one cell has too few pixels
for that and little but that cell in it, so it is estimated over all pictures of a site together. And which of
the two stains is which of the reference's is told by their colours, not by rules for haematoxylin and eosin.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from monai.apps.pathology.transforms.stain.array import ExtractHEStains
from numpy.typing import NDArray
from torch import Tensor

from clinical_qkt.core.errors import InputError, one_of

Stain = Literal["macenko", "vahadane", "reinhard"]
STAINS: tuple[Stain, ...] = get_args(Stain)
Pixels = NDArray[np.float64]
"""``(pixels, 3)``."""

LIGHT = 240.0
"""Intensity of what lets all light through, and more; as in MONAI."""
STAINED = 0.15
"""Optical density, in all channels, from which on a pixel is stained; as in MONAI."""
STRONGEST = 99
"""Percentile of the amounts of a stain that are brought to agree."""
SPARSE, AMOUNT = 0.1, 0.01
"""Vahadane's penalty on amounts: while colours are learnt, and of a picture (as in StainTools)."""
STEPS, MOST = 100, 20_000
"""Of learning colours and amounts in turn; of so many pixels, evenly chosen."""

_CONES = np.array([[0.3811, 0.5783, 0.0402], [0.1967, 0.7244, 0.0782], [0.0241, 0.1288, 0.8444]])
_OPPONENT = np.diag([3**-0.5, 6**-0.5, 2**-0.5]) @ np.array([[1, 1, 1], [1, 1, -2], [1, -1, 0]])
"""Reinhard's equations 4 and 6: red, green and blue to cones, and logarithms of these to opponent colours."""


def normaliser(name: Stain, reference: Tensor, source: Tensor | None = None) -> Callable[[Tensor], Tensor]:
    """What brings pictures to the reference's colours.

    Args:
        reference: ``(N, 3, H, W)``, 0 to 255: pictures in the colours that are wanted.
        source: pictures of the site that is normalised, of which its own colours are estimated; if None, of
            the pictures of each call. The same mix of classes as in ``reference`` lets colours of classes not
            pass for stains.

    Returns:
        From ``(N, 3, H, W)`` of 0 to 255 to the same shape and type, whole numbers of 0 to 255.

    Raises:
        InputError: there is no such method; pictures are not in colour, not stained, or of one colour; now,
            or of the pictures of a call.
    """
    make = _known(name)
    wanted = make(_pixels(reference, name))
    given = None if source is None else make(_pixels(source, name)).beside(wanted)

    def normalised(images: Tensor) -> Tensor:
        pixels = _pixels(images, name)
        found = wanted.made_of((given or make(pixels).beside(wanted)).taken_apart(pixels))
        whole = torch.from_numpy(found.round().clip(0, 255)).to(images.dtype)
        n, channels, *places = images.shape
        return whole.reshape(n, *places, channels).movedim(-1, 1)

    return normalised


@dataclass(frozen=True)
class TwoStains:
    """Colours of two stains, and how much there is of each at most.

    Attributes:
        colours: ``(2, 3)`` optical densities.
        strongest: ``(2,)`` amounts.
        penalty: on amounts, which are then not below zero; None: least squares.
    """

    colours: Pixels
    strongest: NDArray[np.float64]
    penalty: float | None

    def beside(self, other: Colours) -> Colours:
        """The same, its stains in the order of those of another site that they resemble."""
        assert isinstance(other, TwoStains)
        alike = self.colours @ other.colours.T
        if np.trace(alike) >= np.trace(alike[::-1]):
            return self
        return TwoStains(self.colours[::-1], self.strongest[::-1], self.penalty)

    def taken_apart(self, pixels: Pixels) -> Pixels:
        """``(pixels, 2)`` amounts, the strongest of each 1."""
        return _amounts(_density(pixels), self.colours, self.penalty) / self.strongest

    def made_of(self, amounts: Pixels) -> Pixels:
        shown: Pixels = LIGHT * np.exp(-(amounts * self.strongest) @ self.colours) - 1
        return shown


@dataclass(frozen=True)
class OpponentColours:
    """Mean and spread ``(3,)`` along each axis."""

    mean: NDArray[np.float64]
    spread: NDArray[np.float64]

    def beside(self, other: Colours) -> Colours:
        return self

    def taken_apart(self, pixels: Pixels) -> Pixels:
        return (_opponent(pixels) - self.mean) / self.spread

    def made_of(self, standard: Pixels) -> Pixels:
        logarithms = (standard * self.spread + self.mean) @ np.linalg.inv(_OPPONENT).T
        shown: Pixels = 256 * 10**logarithms @ np.linalg.inv(_CONES).T - 1
        return shown


Colours = TwoStains | OpponentColours


def macenko(pixels: Pixels) -> TwoStains:
    """The outermost directions of optical density, in the plane in which it varies most."""
    colours = ExtractHEStains(tli=LIGHT, beta=STAINED)(pixels.astype(np.float32)).T.astype(np.float64)
    return _two(pixels, colours, None)


def vahadane(pixels: Pixels) -> TwoStains:
    """Two colours of which each stained pixel has little, and seldom both; learnt from where Macenko's are.

    Amounts and colours in turn are the best for each other; a colour has no density below zero, and length 1
    (Mairal et al., JMLR 2010, algorithm 2, over all pixels).
    """
    density = _density(pixels)
    stained = density[(density > STAINED).all(1)]
    stained = stained[:: -(-len(stained) // MOST)]
    colours = macenko(pixels).colours.clip(0)
    for _ in range(STEPS):
        amounts = _amounts(stained, colours, SPARSE)
        gram, seen = amounts.T @ amounts, amounts.T @ stained
        for j in np.flatnonzero(gram.diagonal() > 0):
            new = (colours[j] + (seen[j] - gram[j] @ colours) / gram[j, j]).clip(0)
            colours[j] = new / np.linalg.norm(new).clip(1e-9)
    return _two(pixels, colours, AMOUNT)


def reinhard(pixels: Pixels) -> OpponentColours:
    """Mean and spread in the colour space of Ruderman."""
    seen = _opponent(pixels)
    return OpponentColours(seen.mean(0), seen.std(0).clip(min=1e-6))


def _known(name: Stain) -> Callable[[Pixels], Colours]:
    makers: dict[str, Callable[[Pixels], Colours]] = {
        "macenko": macenko,
        "vahadane": vahadane,
        "reinhard": reinhard,
    }
    if name not in makers:
        raise InputError(
            f"unknown stain normalisation '{name}'", where="stain", fix=one_of(name, list(STAINS))
        )
    return makers[name]


def _pixels(images: Tensor, name: Stain) -> Pixels:
    """
    Raises:
        InputError: see ``normaliser``.
    """
    if images.ndim != 4 or images.shape[1] != 3:
        raise InputError(
            f"pictures of shape {tuple(images.shape[1:])} have no stain",
            where=name,
            fix="give pictures of three channels, and two axes of places",
        )
    pixels: Pixels = images.movedim(1, -1).reshape(-1, 3).double().numpy()
    if name != "reinhard" and not (_density(pixels) > STAINED).all(1).any():
        raise InputError("not one pixel is stained", where=name, fix="leave such pictures as they are")
    if pixels.std(0).max() < 1e-3:
        raise InputError("all pixels are of one colour", where=name, fix="leave such pictures as they are")
    return pixels


def _two(pixels: Pixels, colours: Pixels, penalty: float | None) -> TwoStains:
    amounts = _amounts(_density(pixels), colours, penalty)
    return TwoStains(colours, np.percentile(amounts, STRONGEST, axis=0).clip(1e-6), penalty)


def _amounts(density: Pixels, colours: Pixels, penalty: float | None) -> Pixels:
    """Of each stain in each pixel, by least squares; with a penalty on amounts that are not below zero."""
    gram, seen = colours @ colours.T, density @ colours.T - (penalty or 0.0)
    free = np.linalg.solve(gram, seen.T).T.astype(np.float64)
    if penalty is None:
        return free
    alone = (seen / gram.diagonal()).clip(0)
    # Of two that may not be below zero: where one would be, it is nothing and the other stands alone.
    first, second = free[:, :1] < 0, free[:, 1:] < 0
    one, other = np.where(second, alone[:, :1], free[:, :1]), np.where(first, alone[:, 1:], free[:, 1:])
    return np.hstack([one * ~first, other * ~second])


def _density(pixels: Pixels) -> Pixels:
    density: Pixels = -np.log((pixels + 1).clip(max=LIGHT) / LIGHT)
    return density


def _opponent(pixels: Pixels) -> Pixels:
    opponent: Pixels = np.log10((pixels + 1) / 256 @ _CONES.T) @ _OPPONENT.T
    return opponent
