"""The geometry of a series of slices: their order, their spacing, a tilted gantry. Pure functions.

Positions and orientations are those of DICOM's patient coordinate system (PS3.3, section C.7.6.2.1.1): x to
the left, y to the back, z to the head, in millimetres.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

TOLERANCE = 0.05
"""Distances of neighbouring slices that differ by less than this share of the usual one count as even."""
SAME_PLACE = 1e-3
"""Millimetres below which two slices lie at one place."""
STRAIGHT = 0.5
"""Degrees below which a stack counts as upright: positions and cosines are rounded in the header."""


@dataclass(frozen=True)
class Geometry:
    """What the slices of one series say about the volume that they cut.

    Attributes:
        order: the slices' positions in the list given, from the lowest place along the normal to the highest.
        spacing: the usual distance of neighbours along the normal in mm; None for a single slice or place.
        smallest, largest: distance of neighbours in mm; None as above.
        even: whether all distances are the usual one, so that the stack is a volume of equal voxels.
        same_place: how many slices lie where another one does.
        tilt: angle in degrees between the line through the positions and the normal; 0 for an upright stack.
    """

    order: list[int]
    spacing: float | None
    smallest: float | None
    largest: float | None
    even: bool
    same_place: int
    tilt: float


def normal_of(orientation: Sequence[float]) -> Array:
    """The unit vector across the slice, from Image Orientation (Patient): row cosines, then column cosines.

    >>> normal_of([1, 0, 0, 0, 1, 0]).tolist()
    [0.0, 0.0, 1.0]

    Raises:
        ValueError: not six numbers, or not two directions.
    """
    if len(orientation) != 6:
        raise ValueError("an orientation has six numbers")
    across = np.cross(np.asarray(orientation[:3], float), np.asarray(orientation[3:], float))
    length = float(np.linalg.norm(across))
    if not 0.5 < length < 2:
        raise ValueError("row and column cosines are not two directions")
    return np.asarray(across / length)


def places(positions: Sequence[Sequence[float]], orientation: Sequence[float]) -> Array:
    """Where slices lie along their normal; by this they are ordered, not by file name or instance number.

    Args:
        positions: Image Position (Patient) of each slice, ``(N, 3)``.
        orientation: that all slices have.

    Returns:
        ``(N,)`` millimetres.
    """
    return np.asarray(positions, float).reshape(-1, 3) @ normal_of(orientation)


def geometry(positions: Sequence[Sequence[float]], orientation: Sequence[float]) -> Geometry:
    """Order and regularity of the slices of one orientation.

    Args:
        positions: ``(N, 3)`` mm.
        orientation: six cosines.
    """
    along = places(positions, orientation)
    order = np.argsort(along, kind="stable")
    steps = np.diff(along[order])
    apart = steps[steps > SAME_PLACE]
    if not len(apart):
        return Geometry(order.tolist(), None, None, None, not len(steps), len(steps), 0.0)
    usual = float(np.median(apart))
    even = len(apart) == len(steps) and bool((abs(apart - usual) <= TOLERANCE * usual).all())
    tilt = _tilt(np.asarray(positions, float)[order], normal_of(orientation))
    return Geometry(
        order.tolist(), usual, float(apart.min()), float(apart.max()), even, len(steps) - len(apart), tilt
    )


def same_orientation(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether two slices are parallel and lie alike, as far as rounded cosines tell."""
    return len(one) == len(other) == 6 and bool(np.allclose(one, other, atol=1e-3))


def _tilt(ordered: Array, normal: Array) -> float:
    """Gantry tilt shears a stack: its slices move along the table, and not along their normal."""
    line = ordered[-1] - ordered[0]
    length = float(np.linalg.norm(line))
    angle = math.degrees(math.acos(min(1.0, abs(float(line @ normal)) / length))) if length else 0.0
    return angle if angle >= STRAIGHT else 0.0
