"""Volumes in NIfTI files: reading and checking them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from clinical_qkt.data.formats import ImageRefused

Array = np.ndarray[Any, Any]

MAX_VOXELS = 2**29
"""A header that announces more is refused before memory is asked for."""


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
        image: Any = nibabel.load(path)
        shape = image.shape
    except Exception:  # arbitrary bytes can raise anything
        raise ImageRefused("truncated or damaged: its NIfTI header cannot be read") from None
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) != 3 or min(shape) < 1:
        raise ImageRefused(f"has {len(shape)} axes; one volume with three is read")
    if np.prod(shape, dtype=np.float64) > MAX_VOXELS:
        raise ImageRefused(f"announces more than {MAX_VOXELS:,} voxels")
    affine = np.asarray(image.affine, np.float64)
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-9:
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
