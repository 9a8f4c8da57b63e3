"""The input contract: what a network expects of an image, as its card states it; images under another one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn import functional as F

from clinical_qkt.core.errors import PackageError
from clinical_qkt.core.values import Sent
from clinical_qkt.data.look import measured, numbers, scale_of
from clinical_qkt.data.look_map import LookMap
from clinical_qkt.data.resampling import recoloured, resampled

Intensity = Literal["display", "HU", "relative"]
"""What the numbers of a raw image mean: brightness as shown on a screen, 0 to 255 (pictures; DICOM after
window and inversion); Hounsfield units; or 0 to 1 between the 1st and the 99th percentile of a volume."""

_MEANING = {
    "display": "brightness as displayed",
    "HU": "Hounsfield units",
    "relative": "intensities relative to their volume",
}
LARGEST, MOST_PLACES = 1024, 2**26
"""Along an axis, and in all: what a card asks for is made of this site's images, in its memory."""
Finite = Annotated[float, Field(allow_inf_nan=False)]


class InputContract(Sent):
    """Raw intensities in ``intensity_range`` become ``value_range``, linear and clipped; then normalised."""

    channels: int = Field(ge=1, le=16)
    """1 for grey, 3 for colour."""
    spatial_size: list[int] = Field(min_length=2, max_length=3)
    """Pixels or voxels along each axis, 8 to 1024, in MONAI's order: width and height for pictures; for
    volumes from left to right, back to front and bottom to top (RAS)."""
    intensity: Intensity = "display"
    """What raw intensities mean; images of another meaning are refused."""
    intensity_range: tuple[Finite, Finite] = (0.0, 255.0)
    """Of the raw image: 0 to 255, or a window in Hounsfield units."""
    value_range: tuple[Finite, Finite] = (-1.0, 1.0)
    """What it becomes."""
    mean: list[Finite] = Field(default=[], max_length=16)
    """Subtracted from that, for all channels or one by one; empty for nothing."""
    std: list[Annotated[float, Field(gt=0, allow_inf_nan=False)]] = Field(default=[], max_length=16)
    """Then divided by, as many numbers as ``mean`` has."""
    spacing: list[Annotated[float, Field(ge=0.001, le=100)]] | None = None
    """Millimetres between pixels or voxels: images are resampled to it, then cropped or padded around their
    centre. Null: images are resized to ``spatial_size``, whatever they show."""
    other_channels: Literal["refuse", "convert"] = "refuse"
    """``convert``: the sender allows grey images, repeated in three channels, or colour images, reduced to
    their luminance. Otherwise these are refused."""
    look: LookMap | None = Field(default=None, exclude_if=lambda given: given is None)
    """Images look otherwise than those that the network was trained on, and are brought to its look first.
    Null or left out: nothing is changed."""

    @model_validator(mode="after")
    def _sensible(self) -> InputContract:
        if any(not 8 <= s <= LARGEST for s in self.spatial_size):
            raise ValueError(f"spatial_size must be 8 to {LARGEST} along each axis")
        if math.prod(self.spatial_size) > MOST_PLACES:
            raise ValueError(f"spatial_size comes to more than {MOST_PLACES:,} places")
        for low, high in (self.intensity_range, self.value_range):
            if not low < high:
                raise ValueError("a range needs its lower value first")
        if len(self.mean) != len(self.std) or len(self.mean) not in (0, 1, self.channels):
            raise ValueError("mean and std need one number each, or one for each channel")
        if self.spacing is not None and len(self.spacing) != len(self.spatial_size):
            raise ValueError("spacing needs one number an axis")
        if self.look and len(self.look.seen) != numbers(self.channels):
            raise ValueError(f"look needs {numbers(self.channels)} numbers for {self.channels} channels")
        return self

    def obstacle(self, given: InputContract) -> str | None:
        """Why images prepared from the same files as ``given`` cannot be prepared as this asks; or None."""
        if len(self.spatial_size) != len(given.spatial_size):
            return (
                f"expects images in {len(self.spatial_size)} dimensions, "
                f"this site's have {len(given.spatial_size)}"
            )
        if self.intensity != given.intensity:
            return f"expects {_MEANING[self.intensity]}, this site's images hold {_MEANING[given.intensity]}"
        if (self.spacing is None) != (given.spacing is None):
            told = [_size(c.spacing) + " mm" if c.spacing else "no spacing" for c in (self, given)]
            return f"expects {told[0]}, this site's images are prepared with {told[1]}"
        if self.channels == given.channels:
            return None
        both = f"expects images with {self.channels} channels, this site's have {given.channels}"
        if {self.channels, given.channels} != {1, 3}:
            return both
        refused = self.other_channels == "refuse"
        return f"{both}, and its card does not say 'other_channels: convert'" if refused else None

    def require_same_kind(self, given: InputContract, where: str, fix: str) -> None:
        """Refuse what a package expects if a site's images could not be made into it without guessing.

        Raises:
            PackageError: other dimensions, meaning of intensities, spacing or channels; says which.
        """
        if obstacle := self.obstacle(given):
            raise PackageError(obstacle, where=where, fix=fix)

    def adaptations(self, given: InputContract) -> list[str]:
        """How images are prepared in another way than for ``given``, in words for the report."""
        told = []
        if self.channels != given.channels:
            told.append("grey repeated in colour" if given.channels == 1 else "colour reduced to grey")
        if self.spatial_size != given.spatial_size:
            told.append(f"size {_size(self.spatial_size)}, not {_size(given.spatial_size)}")
        if self.spacing != given.spacing:
            told.append(f"spacing {_size(self.spacing or [])} mm, not {_size(given.spacing or [])} mm")
        if self.intensity_range != given.intensity_range:
            told.append(f"window {_span(self.intensity_range)}, not {_span(given.intensity_range)}")
        if (self.value_range, self.mean, self.std) != (given.value_range, given.mean, given.std):
            told.append("normalised in its own way")
        if self.look != given.look:
            told.append("brought to the look of its training images" if self.look else "as they look here")
        return told

    @property
    def plain(self) -> InputContract:
        """The same for images as they look."""
        return self.model_copy(update={"look": None}) if self.look else self

    def in_look(self, raw: Tensor) -> Tensor:
        """Raw intensities ``(B, channels, *places)`` of images that have the network's look."""
        if self.look is None:
            return raw
        low, high = self.intensity_range
        mapped = self.look.applied(self._shares(raw), scale_of(self.intensity, self.channels))
        return mapped * (high - low) + low

    def look_of(self, images: Tensor) -> Tensor:
        """The numbers ``(B, L)`` of what the network takes; see ``look.measured``."""
        return measured(self._shares(self.intensities(images)), scale_of(self.intensity, self.channels))

    def normalised(self, values: Tensor) -> Tensor:
        """``(B, channels, *places)`` within ``value_range`` to what the network takes."""
        if not self.mean:
            return values
        return (values - self._each(self.mean, values)) / self._each(self.std, values)

    def intensities(self, image: Tensor) -> Tensor:
        """What the network takes, back to raw intensities; what was clipped does not come back."""
        if self.mean:
            image = image * self._each(self.std, image) + self._each(self.mean, image)
        (low, high), (bottom, top) = self.intensity_range, self.value_range
        return (image - bottom) * ((high - low) / (top - bottom)) + low

    def values(self, raw: Tensor) -> Tensor:
        """Raw intensities ``(B, channels, *places)`` to what the network takes."""
        (low, high), (bottom, top) = self.intensity_range, self.value_range
        raw = self.in_look(raw)
        return self.normalised(((raw - low) * ((top - bottom) / (high - low)) + bottom).clamp(bottom, top))

    @property
    def extent(self) -> list[float]:
        """Along each axis in millimetres; in pixels without a spacing."""
        spacing = self.spacing or [1.0] * len(self.spatial_size)
        return [n * s for n, s in zip(self.spatial_size, spacing, strict=True)]

    def _shares(self, raw: Tensor) -> Tensor:
        low, high = self.intensity_range
        return ((raw - low) / (high - low)).clamp(0, 1)

    def _each(self, numbers: Sequence[float], like: Tensor) -> Tensor:
        return torch.tensor(numbers, device=like.device).view(-1, *[1] * len(self.spatial_size))


def covering(contracts: Sequence[InputContract]) -> InputContract:
    """The first contract, with as much of an image as any of the others asks for: size, sharpness, window.

    Images prepared for it can be converted for every one of them, in whatever look. The first one's grid is
    divided evenly, so that it gets back what it would have got from the files: where grids nearly agree, such
    as 28 and 32 pixels, going to and fro would blur. If the first covers the others it is given back.

    Raises:
        PackageError: together they ask for more than a single contract may.
    """
    first = contracts[0].plain
    low = min(c.intensity_range[0] for c in contracts)
    high = max(c.intensity_range[1] for c in contracts)
    wider: dict[str, Any] = {"intensity_range": (low, high)}
    extents = list(zip(*(c.extent for c in contracts), strict=True))
    if first.spacing is None:
        wider["spatial_size"] = [
            _multiple(n, max(e)) for n, e in zip(first.spatial_size, extents, strict=True)
        ]
    else:
        spacings = zip(*(c.spacing or first.spacing for c in contracts), strict=True)
        parts = [math.ceil(s[0] / min(s) - 1e-6) for s in spacings]
        wider["spacing"] = [s / k for s, k in zip(first.spacing, parts, strict=True)]
        wider["spatial_size"] = [
            _around(n * k, max(e) / s)
            for n, k, e, s in zip(first.spatial_size, parts, extents, wider["spacing"], strict=True)
        ]
    if math.prod(wider["spatial_size"]) > MOST_PLACES:
        raise PackageError(
            f"images that hold what each model asks for would be {_size(wider['spatial_size'])}, too large",
            where="teachers",
            fix="leave out the model with the largest images",
        )
    return first.model_copy(update=wider)


def converted(image: Tensor, given: InputContract, wanted: InputContract) -> Tensor:
    """Images prepared for one contract as another asks for them, for networks that answer side by side.

    What the first preparation has clipped or averaged away does not come back, see ``covering``; nor does the
    look that images had before they were given another.

    Args:
        image: ``(B, channels, *given.spatial_size)`` as ``given`` prepares it.

    Returns:
        ``(B, channels, *wanted.spatial_size)`` as ``wanted`` does.

    Raises:
        PackageError: ``given`` has changed the look.
    """
    if given == wanted:
        return image
    if given.look:
        raise PackageError(
            "images that were brought to one model's look cannot be prepared for another",
            where="input: look",
            fix="prepare them from the files, or name the model that the site trained itself",
        )
    raw = _placed(given.intensities(image), given, wanted)
    return wanted.values(recoloured(raw, wanted.channels, axis=1))


def _placed(raw: Tensor, given: InputContract, wanted: InputContract) -> Tensor:
    """Images on another contract's grid."""
    if given.spacing and wanted.spacing:
        return resampled(raw, given.spacing, wanted.spatial_size, wanted.spacing, given.intensity_range[0])
    if given.spatial_size == wanted.spatial_size:
        return raw
    return F.interpolate(raw, size=tuple(wanted.spatial_size), mode="area")


def _multiple(size: int, wanted: float) -> int:
    """The least multiple of a size that is large enough, or the largest that is allowed."""
    return size * min(math.ceil(wanted / size - 1e-6), LARGEST // size)


def _around(size: int, wanted: float) -> int:
    """A size that is large enough, with the same places around the centre as ``size``."""
    more = max(0, math.ceil(wanted - size - 1e-6))
    return min(size + more + more % 2, LARGEST - (LARGEST - size) % 2)


def _size(numbers: Sequence[float]) -> str:
    return "x".join(f"{n:g}" for n in numbers)


def _span(limits: tuple[float, float]) -> str:
    return f"{limits[0]:g} to {limits[1]:g}"
