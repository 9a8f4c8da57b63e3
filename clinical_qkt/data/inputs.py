"""The input contract: what a network expects of an image, stated on its card."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import torch
from monai.data import CacheDataset
from monai.transforms import (
    Compose,
    EnsureTyped,
    RandFlipd,
    RandRotate90d,
    Resized,
    ScaleIntensityRanged,
)
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor
from torch.nn import functional as F

from clinical_qkt.errors import PackageError


class InputContract(BaseModel):
    """Raw intensities in ``intensity_range`` become ``value_range``, linearly and clipped.

    Attributes:
        channels: 1 for grey, 3 for colour.
        spatial_size: pixels or voxels along each axis, in MONAI's order: width and height for pictures;
            images are resized to it.
        intensity_range: of the raw image, e.g. 0 to 255.
        value_range: of the network's input.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    channels: int = Field(ge=1, le=16)
    spatial_size: list[int] = Field(min_length=2, max_length=3)
    intensity_range: tuple[float, float] = (0.0, 255.0)
    value_range: tuple[float, float] = (-1.0, 1.0)

    def same_kind(self, other: InputContract) -> bool:
        """Whether the one's images can become the other's: same channels, same number of axes."""
        return self.channels == other.channels and len(self.spatial_size) == len(other.spatial_size)

    def require_same_kind(self, given: InputContract, where: str, fix: str) -> None:
        """Refuse what a package expects if a site's images could not be made into it without guessing.

        Raises:
            PackageError: other channels or another number of dimensions.
        """
        if not self.same_kind(given):
            raise PackageError(
                f"expects images with {self.channels} channels in {len(self.spatial_size)} dimensions, "
                f"this site's have {given.channels} in {len(given.spatial_size)}",
                where=where,
                fix=fix,
            )

    @model_validator(mode="after")
    def _sensible(self) -> InputContract:
        if any(not 8 <= s <= 1024 for s in self.spatial_size):
            raise ValueError("spatial_size must be 8 to 1024 along each axis")
        for low, high in (self.intensity_range, self.value_range):
            if not low < high:
                raise ValueError("a range needs its lower value first")
        return self


def contract_transforms(contract: InputContract, key: str = "image") -> list[Any]:
    """The transforms that turn a raw channel-first image into what the contract asks for.

    Returns:
        MONAI dictionary transforms, for use after reading; their output is a plain float32 tensor
        ``(channels, *spatial_size)`` within ``value_range``.
    """
    low, high = contract.intensity_range
    return [
        Resized(key, spatial_size=contract.spatial_size, mode="area"),
        ScaleIntensityRanged(key, low, high, *contract.value_range, clip=True),
        EnsureTyped(key, dtype=torch.float32, track_meta=False),
    ]


def converted(image: Tensor, given: InputContract, wanted: InputContract) -> Tensor:
    """Images prepared for one contract as another asks for them, for networks that answer side by side.

    What the first preparation has clipped or averaged away does not come back.

    Args:
        image: ``(B, channels, *given.spatial_size)`` within ``given.value_range``.

    Returns:
        ``(B, channels, *wanted.spatial_size)`` within ``wanted.value_range``.
    """
    if given == wanted:
        return image
    if given.spatial_size != wanted.spatial_size:
        image = F.interpolate(image, size=tuple(wanted.spatial_size), mode="area")
    for here, there in (
        (given.value_range, given.intensity_range),
        (wanted.intensity_range, wanted.value_range),
    ):
        scale = (there[1] - there[0]) / (here[1] - here[0])
        image = (image - here[0]) * scale + there[0]
    return image.clamp(*wanted.value_range)


def symmetries(spatial_size: Sequence[int], key: str = "image") -> list[Any]:
    """Random changes that leave a cell a cell: flips and, where the image is square, quarter turns.

    For a square picture one flip and 0 to 3 quarter turns make each of its eight symmetries equally likely.
    """
    if len(spatial_size) == 2 and spatial_size[0] == spatial_size[1]:
        return [RandFlipd(key, prob=0.5, spatial_axis=0), RandRotate90d(key, prob=0.75, max_k=3)]
    return [RandFlipd(key, prob=0.5, spatial_axis=axis) for axis in range(len(spatial_size))]


def adapter(read: list[Any], contract: InputContract) -> Compose:
    """Own images, read as usual and then prepared as another site's contract asks."""
    return Compose([*read, *contract_transforms(contract)])


def cached(items: list[dict[str, Any]], read: list[Any], contract: InputContract, what: str) -> CacheDataset:
    """Images read once and prepared for a network, in memory."""
    if show_progress():
        print(f"reading {len(items)} {what}", file=sys.stderr)
    return CacheDataset(
        items, adapter(read, contract), num_workers=0, copy_cache=False, progress=show_progress()
    )


def show_progress() -> bool:
    """Whether somebody is watching: progress bars would only clutter a log file."""
    return sys.stderr.isatty()
