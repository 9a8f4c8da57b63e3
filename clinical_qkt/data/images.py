"""Opening every image once, so that a bad one is named before hours of training and not after."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from clinical_qkt.core.errors import InputError
from clinical_qkt.core.progress import UNIT
from clinical_qkt.data.dicom import opened, pixels
from clinical_qkt.data.formats import ImageRefused, Kind, kind_of, name_of
from clinical_qkt.data.headers import quiet, text
from clinical_qkt.data.inputs import InputContract, Intensity
from clinical_qkt.data.pictures import Array, read_picture
from clinical_qkt.data.volumes import read_volume

MAX_UNREADABLE = 0.1
"""Above this share of images that cannot be used the lot is refused: then something else is wrong."""
MEANINGS: dict[Kind, tuple[Intensity, ...]] = {
    "picture": ("display",),
    "dicom": ("display", "HU"),
    "nifti": ("relative", "HU"),
}
"""What the numbers of each kind of file can mean; the first is what they are taken for if nobody says so."""
OUTSIDE: dict[Intensity, float] = {"display": 0.5, "HU": 0.99, "relative": 0.05}
"""Share of an image's values that may lie outside the declared range and are clipped. A window of Hounsfield
units leaves most of a body outside on purpose; relative intensities are within 0 and 1 but for their ends."""
BLANK = "shows nothing: all its pixels have the same value"
COPY = "check that paths are relative to the datalist and that the copy is complete"


@dataclass
class ImageCheck:
    """What opening a list of images found.

    Attributes:
        readable: one boolean an image: whether it can be used.
        skipped: ``(place or file name, reason)`` of each image that is not.
        fixes: what to do about the reasons, where there is something.
        channels: of all images.
        spatial_size: ``(width, height)``, or with the depth, of all images, None if sizes differ and may.
        kinds: which kinds of files there are.
        modalities: that the headers of DICOM files name.
    """

    readable: list[bool] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    fixes: dict[str, str] = field(default_factory=dict)
    channels: int = 0
    spatial_size: tuple[int, ...] | None = None
    kinds: set[Kind] = field(default_factory=set)
    modalities: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class RawImage:
    """A decoded file.

    Attributes:
        values: ``(width, height)`` grey, ``(width, height, 3)`` colour, ``(x, y, z)`` of a volume; float32.
        kind: of the file.
        modality: that a DICOM header names; empty without one.
    """

    values: Array
    kind: Kind
    modality: str = ""

    @property
    def shape(self) -> tuple[int, ...]:
        """Channels, then the sizes in MONAI's order: width, height and, for a volume, depth."""
        colour = self.kind != "nifti" and self.values.ndim == 3
        return (self.values.shape[2], *self.values.shape[:2]) if colour else (1, *self.values.shape)


def raw_image(path: Path, intensity: Intensity | None = None) -> RawImage:
    """Decode an image file wholly, as the readers of ``transforms.reading`` do.

    Args:
        intensity: what its numbers shall mean; None for the first of the kind's ``MEANINGS``.

    Raises:
        ImageRefused: with the reason.
    """
    kind = kind_of(path) or "picture"
    meaning = intensity or MEANINGS[kind][0]
    if meaning not in MEANINGS[kind]:
        raise ImageRefused(
            f"a {_KINDS[kind]} holds no intensities of the kind '{meaning}'",
            fix=f"set 'input::intensity: {MEANINGS[kind][0]}', or use a bundle for such files",
        )
    if kind == "dicom":
        header = opened(path)
        with quiet():
            modality = text(header, "Modality").upper()
        return RawImage(pixels(header, "HU" if meaning == "HU" else "display"), kind, modality)
    return RawImage(read_volume(path)[0] if kind == "nifti" else read_picture(path).values, kind)


_KINDS: dict[Kind, str] = {"picture": "picture", "dicom": "DICOM file", "nifti": "NIfTI volume"}


def require_content(values: Array, contract: InputContract | None = None) -> None:
    """Refuse an image that shows nothing, or nothing in the range of intensities that a contract declares.

    Args:
        values: of a ``RawImage``.

    Raises:
        ImageRefused: with the reason.
    """
    lowest, highest = float(values.min()), float(values.max())
    if lowest == highest:
        raise ImageRefused(BLANK)
    if contract is None:
        return
    low, high = contract.intensity_range
    cut = float(np.mean((values < low) | (values > high)))
    if cut > OUTSIDE[contract.intensity] or np.ptp(values.clip(low, high)) == 0:
        raise ImageRefused(
            f"{cut:.0%} of its values lie outside 'input::intensity_range', {low:g} to {high:g}, and would "
            "be cut off",
            fix="set 'input::intensity' and 'input::intensity_range' to what the images hold (this one: "
            f"{lowest:.4g} to {highest:.4g}), or prepare them with `clinical-qkt prepare`",
        )


def check_images(
    paths: Sequence[Path],
    where: str,
    *,
    allow_mixed_sizes: bool = False,
    contract: InputContract | None = None,
    places: Sequence[str] | None = None,
) -> ImageCheck:
    """Open every image.

    Args:
        paths: the image files.
        where: the file or folder that an error should name.
        allow_mixed_sizes: images may differ in size, since the bundle resizes them anyway.
        contract: what they are to be prepared for, if that is known.
        places: what each is called in messages; its file's name if None, which may tell who is on it.

    Raises:
        InputError: more than ``MAX_UNREADABLE`` cannot be used, or channels or sizes differ.
    """
    check, shapes = ImageCheck(), Counter[tuple[int, ...]]()
    example: dict[tuple[int, ...], str] = {}
    intensity = contract.intensity if contract else None
    quiet = None if len(paths) > 2000 else True
    for k, path in enumerate(tqdm(paths, desc="opening images", unit=UNIT, leave=False, disable=quiet)):
        called = places[k] if places else name_of(path)
        try:
            found = raw_image(path, intensity)
            shapes[found.shape] += 1
            example.setdefault(found.shape, called)
            require_content(found.values, contract)
        except ImageRefused as e:
            check.readable.append(False)
            check.skipped.append((called, str(e)))
            check.fixes[str(e)] = e.fix
            continue
        check.readable.append(True)
        check.kinds.add(found.kind)
        check.modalities |= {found.modality} - {""}
    if len(check.skipped) > MAX_UNREADABLE * len(paths):
        name, reason = check.skipped[0]
        raise InputError(
            f"{len(check.skipped)} of {len(paths)} images cannot be read; the first is '{name}': {reason}",
            where=where,
            fix=check.fixes[reason] or COPY,
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
