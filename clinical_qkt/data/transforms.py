"""From image files to what a network takes: MONAI's transforms, put together as an input contract says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from monai.data import Dataset
from monai.transforms import (
    Compose,
    EnsureChannelFirstd,
    EnsureTyped,
    Lambdad,
    NormalizeIntensityd,
    Orientationd,
    RandFlipd,
    RandRotate90d,
    ScaleIntensityRanged,
)
from monai.utils import convert_to_tensor
from torch.nn.functional import interpolate

from clinical_qkt.core.errors import InputError
from clinical_qkt.data.dicom import DicomReader
from clinical_qkt.data.image_cache import kept_images
from clinical_qkt.data.image_cache import show_progress as show_progress
from clinical_qkt.data.inputs import InputContract, Intensity
from clinical_qkt.data.loading import loader
from clinical_qkt.data.pictures import PictureReader
from clinical_qkt.data.resampling import recoloured, resampled
from clinical_qkt.data.volumes import VolumeReader
from clinical_qkt.data.whole_steps import Scaling


def reading(intensity: Intensity, key: str = "image") -> list[Any]:
    """The transforms from a file to a raw channel-first image: pictures, DICOM and NIfTI, told by the file.

    Args:
        intensity: what the numbers shall mean, see ``inputs.Intensity`` and ``images.MEANINGS``. NIfTI files
            are taken to hold it; DICOM files are read accordingly; pictures are brightness and nothing else.
    """
    readers: list[Any] = [VolumeReader()]
    if intensity == "display":
        readers.append(PictureReader())
    if intensity != "relative":
        readers.append(DicomReader(intensity))
    return [loader(key, readers), EnsureChannelFirstd(key)]


def contract_transforms(contract: InputContract, key: str = "image") -> list[Any]:
    """The transforms that turn a raw channel-first image into what the contract asks for.

    Returns:
        MONAI dictionary transforms, for use after reading; their output is a plain float32 tensor
        ``(channels, *spatial_size)``.
    """
    low, high = contract.intensity_range
    steps: list[Any] = []
    if len(contract.spatial_size) == 3:
        steps.append(Orientationd(key, axcodes="RAS", labels=None))
    if contract.other_channels == "convert":
        steps.append(Lambdad(key, lambda image: recoloured(image, contract.channels)))
    if contract.spacing is None:
        steps.append(Lambdad(key, lambda image: by_areas(image, contract.spatial_size), track_meta=False))
    else:
        steps.append(Lambdad(key, lambda image: around_centre(image, contract)))
    if contract.look:
        steps.append(Lambdad(key, lambda image: contract.in_look(torch.as_tensor(image).float()[None])[0]))
    scaling: list[Any] = [ScaleIntensityRanged(key, low, high, *contract.value_range, clip=True)]
    if contract.mean:
        each = contract.channels // len(contract.mean)
        mean, std = np.array(contract.mean * each), np.array(contract.std * each)
        scaling.append(NormalizeIntensityd(key, subtrahend=mean, divisor=std, channel_wise=True))
    scaling.append(EnsureTyped(key, dtype=torch.float32, track_meta=False))
    return [*steps, Scaling(key, scaling)]


def by_areas(image: Any, spatial_size: Sequence[int]) -> torch.Tensor:
    """A raw image ``(C, *places)`` brought to a size by averaging areas.

    As MONAI's ``Resized`` does it, to the last bit, without its keeping of affines: of small pictures that
    takes ten times as long as the work.
    """
    raw = convert_to_tensor(image, dtype=torch.float32, track_meta=False)
    if list(raw.shape[1:]) == list(spatial_size):
        return raw
    return interpolate(raw[None], list(spatial_size), mode="area")[0]


def around_centre(image: Any, contract: InputContract) -> Any:
    """A raw image resampled to a contract's spacing, cropped or padded around its centre.

    Not ``Spacing`` and then a crop: a card that asks for a tiny spacing would blow the whole image up first.

    Args:
        image: ``(C, *places)``, a ``MetaTensor`` from a file that tells its spacing.

    Raises:
        InputError: the file does not tell it.
    """
    wanted = contract.spacing or []
    if "original_affine" not in getattr(image, "meta", {}):
        raise InputError(
            "an image's file does not tell its spacing in millimetres",
            where="input: spacing",
            fix="set 'input::spacing: null', or use DICOM or NIfTI files that tell it",
        )
    known = [float(s) for s in image.pixdim]
    raw = torch.as_tensor(image).float()[None]
    return resampled(raw, known, contract.spatial_size, wanted, contract.intensity_range[0])[0]


def symmetries(
    spatial_size: Sequence[int], mirror_axes: Sequence[int] | None = None, key: str = "image"
) -> list[Any]:
    """Random changes after which an image still shows its class: flips and, for square ones, quarter turns.

    For a square picture one flip and 0 to 3 quarter turns make each of its eight symmetries equally likely.

    Args:
        mirror_axes: along which a mirrored image still shows its class; all if None. Quarter turns are used
            for pictures that may be mirrored along both.
    """
    axes = list(range(len(spatial_size)) if mirror_axes is None else mirror_axes)
    if len(spatial_size) == len(axes) == 2 and spatial_size[0] == spatial_size[1]:
        return [RandFlipd(key, prob=0.5, spatial_axis=0), RandRotate90d(key, prob=0.75, max_k=3)]
    return [RandFlipd(key, prob=0.5, spatial_axis=axis) for axis in axes]


def adapter(read: list[Any], contract: InputContract) -> Compose:
    """Own images, read as usual and then prepared as another site's contract asks."""
    return Compose([*read, *contract_transforms(contract)])


def cached(
    items: list[dict[str, Any]],
    read: list[Any],
    contract: InputContract,
    what: str,
    own: bool = True,
    once: bool = False,
) -> Dataset:
    """Images read once and prepared for a network, kept where they fit; see ``image_cache.kept_images``."""
    return kept_images(items, adapter(read, contract), contract, what=what, own=own, once=once)
