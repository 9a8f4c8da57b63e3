"""Opening every image once, so that a bad one is named before hours of training and not after."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from clinical_qkt.data.dicom import decode
from clinical_qkt.data.formats import ImageRefused, kind_of
from clinical_qkt.data.volumes import volume_shape
from clinical_qkt.errors import InputError

MAX_UNREADABLE = 0.1
"""Above this share of unreadable images the lot is refused: then something else is wrong."""


@dataclass
class ImageCheck:
    """What opening a list of images found.

    Attributes:
        readable: one boolean an image.
        skipped: ``(file name, reason)`` of each image that is not.
        channels: of all images.
        spatial_size: ``(width, height)``, or with the depth, of all images, None if sizes differ and may.
    """

    readable: list[bool] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    channels: int = 0
    spatial_size: tuple[int, ...] | None = None


def image_shape(path: Path) -> tuple[int, ...]:
    """Decode an image file wholly and give its channels and its sizes in MONAI's order.

    Returns:
        ``(channels, width, height)``, or with the depth for a volume.

    Raises:
        ImageRefused: a DICOM or NIfTI file that cannot serve, with the reason.
        Exception: whatever Pillow raises for files that are missing, truncated or no image.
    """
    kind = kind_of(path)
    if kind == "dicom":
        width, height, *channels = decode(path).shape
        return (channels[0] if channels else 1, width, height)
    if kind == "nifti":
        return volume_shape(path)
    with Image.open(path) as image:
        image.load()
        return len(image.getbands()), image.width, image.height


def check_images(paths: Sequence[Path], where: str, *, allow_mixed_sizes: bool = False) -> ImageCheck:
    """Open every image.

    Args:
        paths: the image files.
        where: the file or folder that an error should name.
        allow_mixed_sizes: images may differ in size, since the bundle resizes them anyway.

    Raises:
        InputError: more than ``MAX_UNREADABLE`` cannot be read, or channels or sizes differ.
    """
    check, shapes = ImageCheck(), Counter[tuple[int, ...]]()
    example: dict[tuple[int, ...], str] = {}
    for path in tqdm(paths, desc="opening images", leave=False, disable=None if len(paths) > 2000 else True):
        try:
            shape = image_shape(path)
        except Exception as e:  # a damaged file can raise anything
            check.readable.append(False)
            check.skipped.append((path.name, _reason(e)))
            continue
        check.readable.append(True)
        shapes[shape] += 1
        example.setdefault(shape, path.name)
    if len(check.skipped) > MAX_UNREADABLE * len(paths):
        name, reason = check.skipped[0]
        raise InputError(
            f"{len(check.skipped)} of {len(paths)} images cannot be read; the first is '{name}': {reason}",
            where=where,
            fix="check that paths are relative to the datalist and that the copy is complete",
        )
    if shapes:
        _refuse_mixed(shapes, example, where, allow_mixed_sizes)
        usual = shapes.most_common(1)[0][0]
        check.channels, check.spatial_size = usual[0], usual[1:] if len(shapes) == 1 else None
    return check


def warn_skipped(skipped: Sequence[tuple[str, str]]) -> None:
    """Name the images that are left out on standard error: the first ten, and how many more."""
    for name, reason in skipped[:10]:
        print(f"warning: left out '{name}': {reason}", file=sys.stderr)
    if len(skipped) > 10:
        print(f"warning: left out {len(skipped) - 10} more images; summary.json counts them", file=sys.stderr)


def _refuse_mixed(
    shapes: Counter[tuple[int, ...]], example: dict[tuple[int, ...], str], where: str, mixed: bool
) -> None:
    usual = shapes.most_common(1)[0][0]
    odd_channels = [s for s in shapes if s[0] != usual[0]]
    odd_sizes = [s for s in shapes if s[1:] != usual[1:]]
    if odd_channels:
        odd = odd_channels[0]
        raise InputError(
            f"images differ in channels: '{example[odd]}' has {odd[0]}, most have {usual[0]}",
            where=where,
            fix="convert all images to grey, or all to colour",
        )
    if odd_sizes and not mixed:
        odd = odd_sizes[0]
        raise InputError(
            f"images differ in size: '{example[odd]}' is {size_of(odd)}, most are {size_of(usual)}",
            where=where,
            fix="crop or resample them alike, or set 'allow_mixed_sizes: true' (demo: --allow-mixed-sizes) "
            "to let the bundle resize them",
        )


def size_of(shape: Sequence[int]) -> str:
    """A shape's sizes for people, without its channels.

    >>> size_of((1, 35, 50, 35))
    '35x50x35'
    """
    return "x".join(map(str, shape[1:]))


def _reason(error: Exception) -> str:
    if isinstance(error, ImageRefused):
        return str(error)
    if isinstance(error, FileNotFoundError):
        return "missing"
    if isinstance(error, Image.UnidentifiedImageError):
        return "not an image"
    return "truncated or damaged"
