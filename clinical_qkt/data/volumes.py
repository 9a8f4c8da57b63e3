"""Volumes in NIfTI files: reading, bringing them into one frame and scale, writing them without a history."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any, Literal

import nibabel
import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Orientation, Spacing

from clinical_qkt.data.formats import ImageRefused
from clinical_qkt.data.headers import quiet
from clinical_qkt.files import write_whole

Array = np.ndarray[Any, Any]
Intensity = Literal["relative", "HU"]

MAX_VOXELS = 2**29
"""A header that announces more is refused before memory is asked for."""
PERCENTILES = (1, 99)
"""Of a volume's own values, which ``relative`` maps to 0 and 1."""


def read_volume(path: Path) -> tuple[Array, Array]:
    """A volume's values and the affine from voxels to millimetres (RAS+).

    Returns:
        ``(x, y, z)`` float32 as stored, after the header's scaling; ``(4, 4)`` float64.

    Raises:
        ImageRefused: with the reason.
    """
    if not path.is_file():
        raise ImageRefused("missing")
    try:
        with quiet("nibabel.global"):  # it would print what it mends in a damaged header
            image: Any = nibabel.load(path)
        shape = image.shape
    except Exception:  # arbitrary bytes can raise anything
        raise ImageRefused("truncated or damaged: its NIfTI header cannot be read") from None
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) != 3:
        raise ImageRefused(f"has {len(shape)} axes; one volume with three is read")
    if min(shape) < 1:
        raise ImageRefused("has no voxels")
    if np.prod(shape, dtype=np.float64) > MAX_VOXELS:
        raise ImageRefused(f"announces more than {MAX_VOXELS:,} voxels")
    affine = np.asarray(image.affine, np.float64)
    flat = not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-9
    if flat or np.isnan(nibabel.io_orientation(affine)).any():
        raise ImageRefused("its affine does not place its voxels in space")
    try:
        values = np.asarray(image.dataobj, dtype=np.float32).reshape(shape)
    except Exception:
        raise ImageRefused("truncated or damaged: its voxels cannot be read") from None
    if not np.isfinite(values).all():
        raise ImageRefused("holds values that are not finite")
    return values, affine


def volume_shape(path: Path) -> tuple[int, int, int, int]:
    """Read a volume wholly and give its channels, always 1, and its sizes.

    Raises:
        ImageRefused: with the reason.
    """
    x, y, z = read_volume(path)[0].shape
    return 1, x, y, z


def framed(
    values: Array, affine: Array, spacing: float | None, *, labels: bool = False
) -> tuple[Array, Array]:
    """A volume in RAS order and, if asked for, with equal voxels.

    Args:
        values: ``(x, y, z)``.
        spacing: of the new voxels along each axis in mm; None keeps the volume's own.
        labels: values are labels, which are never mixed.

    Returns:
        ``(x, y, z)`` float32 and the affine that belongs to it.
    """
    channel_first = torch.from_numpy(np.ascontiguousarray(values))[None]
    image: Any = MetaTensor(channel_first, affine=torch.from_numpy(affine))
    image = Orientation(axcodes="RAS", labels=None)(image)
    if spacing is not None:
        mode = "nearest" if labels else "bilinear"
        image = Spacing((spacing,) * 3, mode=mode, padding_mode="border")(image)
    return image[0].numpy().astype(np.float32), np.asarray(image.affine, np.float64)


def spacing_of(affine: Array) -> tuple[float, float, float]:
    """Millimetres between voxels along each axis.

    >>> spacing_of(np.diag([1.0, 2.0, 3.0, 1.0]))
    (1.0, 2.0, 3.0)
    """
    x, y, z = (float(v) for v in np.linalg.norm(affine[:3, :3], axis=0))
    return x, y, z


def scaled(values: Array, intensity: Intensity) -> Array:
    """A volume's intensities: as they are (``HU``), or its own 1st to 99th percentile as 0 to 1, clipped.

    Raises:
        ImageRefused: the volume has one value only, so nothing is relative to anything.
    """
    if intensity == "HU":
        return values
    low, high = np.percentile(values, PERCENTILES)
    if not high > low:
        raise ImageRefused("shows nothing: nearly all its voxels have the same value")
    return np.clip((values - low) / (high - low), 0, 1).astype(np.float32)


def write_volume(path: Path, values: Array, affine: Array) -> None:
    """Write a ``.nii.gz`` whose header holds shape, type and affine alone; same content, same bytes."""
    image = nibabel.Nifti1Image(values.astype(np.float32), affine)
    image.header.set_xyzt_units("mm")
    write_whole(path, lambda part: part.write_bytes(gzip.compress(image.to_bytes(), 6, mtime=0)))
