"""The series among DICOM images: slices in order of their place, and what is odd about the stack."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from clinical_qkt.prepare.findings import Found, Slice
from clinical_qkt.prepare.series import Geometry, geometry, normal_of, same_orientation


@dataclass(frozen=True)
class Stack:
    """Slices of one series, orientation and size.

    Attributes:
        images: in order of place along the normal; as found where the header gives no place.
        geometry: None where the header gives no place.
        tilt: Gantry/Detector Tilt as the header says it, in degrees; None if absent.
    """

    series: str
    images: list[Found]
    geometry: Geometry | None
    tilt: float | None

    def oddities(self) -> list[str]:
        """What a reader of the series as a volume would stumble over, in words."""
        told, found = [], self.geometry
        if len(self.images) == 1:
            return []
        if found is None:
            return [f"series {self.series}: its slices name no place, so they stand in order of their files"]
        if found.same_place:
            told.append(f"{found.same_place} slices lie where another one does")
        if not found.even and found.spacing is not None and found.largest != found.smallest:
            told.append(
                f"the distance of slices varies from {found.smallest:.2f} to {found.largest:.2f} mm "
                f"(usually {found.spacing:.2f})"
            )
        if found.tilt:
            told.append(
                f"the gantry was tilted: slices are shifted at {found.tilt:.1f} degrees to their normal"
                + (f", the header says {self.tilt:+.1f}" if self.tilt else "")
            )
        elif self.tilt:
            told.append(f"the header says a gantry tilt of {self.tilt:+.1f} degrees, the positions show none")
        return [f"series {self.series}: {t}" for t in told]


def stacks(images: Sequence[Found]) -> list[Stack]:
    """Group slices by series, orientation and size, and order each group by place.

    Args:
        images: that can be read; those without a slice's attributes are passed over.
    """
    groups: dict[tuple[str, tuple[int, ...]], list[list[Found]]] = defaultdict(list)
    for one in images:
        if one.slice is None:
            continue
        alike = groups[(one.slice.series, one.shape)]
        mine = next((g for g in alike if _alike(_slice(g[0]), one.slice)), None)
        if mine is None:
            alike.append([one])
        else:
            mine.append(one)
    return [_stack(group) for alike in groups.values() for group in alike]


def in_order(images: Sequence[Found], found: Sequence[Stack]) -> list[Found]:
    """The images with each stack's slices together and in order, stacks in order of their first image."""
    place = {id(one): (s, k) for s, stack in enumerate(found) for k, one in enumerate(stack.images)}
    return sorted(images, key=lambda one: place.get(id(one), (-1, 0)))


def _slice(one: Found) -> Slice:
    assert one.slice is not None
    return one.slice


def _alike(one: Slice, other: Slice) -> bool:
    if not _placed(one) or not _placed(other):
        return _placed(one) == _placed(other)
    return same_orientation(one.orientation, other.orientation)


def _placed(one: Slice) -> bool:
    try:
        normal_of(one.orientation)
    except ValueError:
        return False
    return len(one.position) == 3


def _stack(group: list[Found]) -> Stack:
    first = _slice(group[0])
    if not _placed(first):
        return Stack(first.series, group, None, first.tilt)
    found = geometry([_slice(one).position for one in group], first.orientation)
    return Stack(first.series, [group[i] for i in found.order], found, first.tilt)
