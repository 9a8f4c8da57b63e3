"""Cutting cubes out of volumes whose voxels are labelled: one class a part, and one for neither."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import ndimage

Array = np.ndarray[Any, Any]

INSIDE = 2.0
"""Millimetres that a patch's centre lies inside its part, at least."""
AWAY = 8.0
"""Millimetres that the centre of a patch of neither part lies away from all of them, at least."""
COVERED = 0.75
"""Share of a patch that lies within the volume, at least; the rest gets the volume's lowest value."""


@dataclass(frozen=True)
class Cutting:
    """What to cut.

    Attributes:
        parts: the value of each class's voxels.
        neither: the class of patches away from all parts; empty for none.
        edge: of a patch in mm.
        count: patches a class and volume, at most.
    """

    parts: Mapping[str, int] = field(default_factory=dict)
    neither: str = "neither"
    edge: float = 24.0
    count: int = 1

    @property
    def classes(self) -> list[str]:
        return [*self.parts, *([self.neither] if self.neither else [])]


@dataclass(frozen=True)
class Patch:
    """One cube: its class, ``(x, y, z)`` values and affine."""

    name: str
    values: Array
    affine: Array


def cut(
    values: Array, labels: Array, affine: Array, cutting: Cutting, rng: np.random.Generator
) -> Iterator[Patch]:
    """Patches of each class around voxels drawn at random; fewer where there is no room for more.

    Args:
        values, labels: ``(x, y, z)``, on the same grid.
        affine: of both.
        rng: draws the centres.
    """
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    size = np.maximum(1, np.round(cutting.edge / spacing)).astype(int)
    room = _covered(values.shape, size) >= COVERED
    for name in cutting.classes:
        if name in cutting.parts:
            allowed = (
                ndimage.distance_transform_edt(labels == cutting.parts[name], sampling=spacing) >= INSIDE
            )
        else:
            allowed = ndimage.distance_transform_edt(labels == 0, sampling=spacing) >= AWAY
        centres = np.argwhere(allowed & room)
        drawn = rng.choice(len(centres), min(cutting.count, len(centres)), replace=False)
        for centre in centres[np.sort(drawn)]:
            start = centre - size // 2
            moved = affine.copy()
            moved[:3, 3] += affine[:3, :3] @ start
            yield Patch(name, window(values, start, size), moved)


def window(values: Array, start: Array, size: Array) -> Array:
    """A box of a volume; what lies outside the volume has its lowest value.

    Args:
        values: ``(x, y, z)``.
        start: the box's first voxel, which may lie outside.
        size: of the box in voxels.
    """
    found = np.full(size, values.min(), values.dtype)
    low, high = np.maximum(start, 0), np.minimum(start + size, values.shape)
    if (high > low).all():
        there = tuple(slice(a, b) for a, b in zip(low - start, high - start, strict=True))
        found[there] = values[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    return found


def _covered(shape: tuple[int, ...], size: Array) -> Array:
    """The share of a box around each voxel that lies within the volume."""
    share = np.ones(shape)
    for axis, (n, s) in enumerate(zip(shape, size, strict=True)):
        start = np.arange(n) - s // 2
        along = (np.minimum(start + s, n) - np.maximum(start, 0)) / s
        share = share * along.reshape([-1 if a == axis else 1 for a in range(len(shape))])
    return share
