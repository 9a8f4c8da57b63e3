"""Volumes in NIfTI files: reading, bringing them into one frame and scale, writing them without a history."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import nibabel
import numpy as np
import torch
from monai.data import ImageReader, MetaTensor
from monai.data.image_reader import _copy_compatible_dict, _stack_images
from monai.transforms import Orientation, Spacing
from monai.utils.enums import MetaKeys, SpaceKeys

from clinical_qkt.core.files import write_whole
from clinical_qkt.data.formats import ImageRefused, kind_of, suffix_of
from clinical_qkt.data.headers import quiet

Array = np.ndarray[Any, Any]
Intensity = Literal["relative", "HU"]

MAX_VOXELS = 2**29
"""A header that announces more is refused before memory is asked for."""
PERCENTILES = (1, 99)
"""Of a volume's own values, which ``relative`` maps to 0 and 1."""
MILLIMETRES = {"unknown": 1.0, "mm": 1.0, "meter": 1000.0, "micron": 0.001}
"""In nibabel's names of the units that NIfTI knows. Who says none means millimetres."""
TOO_LARGE = 1000.0
"""Millimetres between voxels from which the header's unit cannot be right."""
CHUNK = 2**20
"""Bytes that are unpacked at once where they are not kept."""
FLAT = 1e-6
"""Share of the box that its axes would span upright, up to which a voxel counts as flat."""
WHOLE = 1e-3
"""How far a label may be from a whole number: scaling and interpolation leave a little."""
EXACT = 2**24
"""Whole numbers from here on are not all told apart as float32."""


def read_volume(path: Path) -> tuple[Array, Array]:
    """A volume's values and the affine from voxels to millimetres (RAS+).

    Returns:
        ``(x, y, z)`` float32 as stored, after the header's scaling; ``(4, 4)`` float64.

    Raises:
        ImageRefused: with the reason.
    """
    image = _opened(path)
    shape = _shape(image)
    affine = _affine(image)
    try:
        with quiet("nibabel.global"):
            values = np.asarray(image.dataobj, dtype=np.float32).reshape(shape)
        _read_to_the_end(path)
    except Exception:  # a damaged file or scaling can raise anything
        raise ImageRefused("truncated or damaged: its voxels cannot be read") from None
    if not np.isfinite(values).all():
        raise ImageRefused("holds values that are not finite")
    return values, affine


def read_labels(path: Path) -> tuple[Array, Array]:
    """A label map: a volume of whole numbers, however they are stored.

    Returns:
        ``(x, y, z)`` float32, rounded; ``(4, 4)`` float64, as ``read_volume`` gives it.

    Raises:
        ImageRefused: it cannot be read, or its values are further than 0.001 from whole numbers.
    """
    values, affine = read_volume(path)
    whole = np.rint(values)
    if np.abs(values - whole).max() > WHOLE:
        raise ImageRefused("holds values that are no whole numbers")
    if np.abs(whole).max() >= EXACT:
        raise ImageRefused(f"holds labels of {EXACT:,} or more, which are not told apart")
    return whole, affine


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


class VolumeReader(ImageReader):
    """MONAI's reader for single volumes in NIfTI files, by ``read_volume``: what it refuses, stages refuse.

    The metadata hold the shape and the affine in millimetres, nothing else of the header. Several files
    become channels of one image.
    """

    def verify_suffix(self, filename: Any) -> bool:
        """Whether all files claim to be NIfTI files."""
        return all(kind_of(Path(f)) == "nifti" for f in _listed(filename))

    def read(self, data: Any, **_: Any) -> Any:
        """The values and the affine of each file."""
        return [read_volume(Path(f)) for f in _listed(data)]

    def get_data(self, img: Any) -> tuple[Array, dict[str, Any]]:
        """The array, ``(x, y, z)``, and MONAI's metadata."""
        meta: dict[str, Any] = {}
        for values, affine in img:
            _copy_compatible_dict(
                {
                    MetaKeys.AFFINE: affine,
                    MetaKeys.ORIGINAL_AFFINE: affine.copy(),
                    MetaKeys.SPACE: SpaceKeys.RAS,
                    MetaKeys.SPATIAL_SHAPE: np.asarray(values.shape),
                    MetaKeys.ORIGINAL_CHANNEL_DIM: float("nan"),
                },
                meta,
            )
        return _stack_images([values for values, _ in img], meta), meta


def write_volume(path: Path, values: Array, affine: Array) -> None:
    """Write a ``.nii.gz`` whose header holds shape, type and affine alone; same content, same bytes."""
    image = nibabel.Nifti1Image(values.astype(np.float32), affine)
    image.header.set_xyzt_units("mm")
    content = gzip.compress(image.to_bytes(), 6, mtime=0)
    write_whole(path, lambda part: part.write_bytes(content), private=True)


def _listed(files: Any) -> Sequence[Any]:
    return files if isinstance(files, list | tuple) else [files]


def _opened(path: Path) -> Any:
    """nibabel's image of a NIfTI file whose voxels are single real numbers."""
    if not path.is_file():
        raise ImageRefused("missing")
    try:
        with quiet("nibabel.global"):  # it would print what it mends in a damaged header
            image: Any = nibabel.load(path)
            stored = image.get_data_dtype()
    except Exception:  # arbitrary bytes can raise anything
        raise ImageRefused("truncated or damaged: its NIfTI header cannot be read") from None
    if not isinstance(image, nibabel.Nifti1Image):
        raise ImageRefused("is no NIfTI volume, whatever its name says")
    if stored.names:
        raise ImageRefused(f"holds colours ({''.join(stored.names)}), not one number a voxel")
    if stored.kind not in "iuf":
        raise ImageRefused("holds complex numbers" if stored.kind == "c" else "holds no numbers")
    return image


def _read_to_the_end(path: Path) -> None:
    """Let gzip compare its checksum, which follows all that nibabel reads.

    Raises:
        Exception: whatever gzip and zlib raise for damaged files.
    """
    if suffix_of(path) == ".nii.gz":
        with gzip.open(path) as f:
            while f.read(CHUNK):
                pass


def _shape(image: Any) -> tuple[int, ...]:
    shape = tuple(image.shape)
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) != 3:
        raise ImageRefused(f"has {len(shape)} axes; one volume with three is read")
    if min(shape) < 1:
        raise ImageRefused("has no voxels")
    if np.prod(shape, dtype=np.float64) > MAX_VOXELS:
        raise ImageRefused(f"is too large: it announces more than {MAX_VOXELS:,} voxels")
    return shape


def _affine(image: Any) -> Array:
    """To millimetres, whatever unit the header names."""
    try:
        unit = MILLIMETRES[image.header.get_xyzt_units()[0]]
    except KeyError:
        raise ImageRefused("names a unit of length that NIfTI does not know") from None
    affine = np.asarray(image.affine, np.float64) * np.array([[unit]] * 3 + [[1.0]])
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    # Not the determinant alone: a voxel of a micrometre has a very small one.
    flat = not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) <= FLAT * lengths.prod()
    if flat or np.isnan(nibabel.io_orientation(affine)).any():
        raise ImageRefused("its affine does not place its voxels in space")
    if lengths.max() >= TOO_LARGE:
        raise ImageRefused(f"its voxels are {TOO_LARGE:g} mm or more apart: its unit of length is wrong")
    return affine
