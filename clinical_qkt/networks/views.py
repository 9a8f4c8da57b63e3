"""Views of an image that show its class as well as the image itself: mirrored, and turned by quarters."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from torch import Tensor

from clinical_qkt.core.errors import InputError


def views(image: Tensor, mirror_axes: Sequence[int]) -> list[Tensor]:
    """All views, the images as they are first.

    The rule is that of ``data.transforms.symmetries``, by which networks are trained: a square picture that
    may be mirrored along both axes may be turned, too, and has eight views.

    Args:
        image: ``(B, channels, *places)``.
        mirror_axes: of the places, counted from 0.

    Raises:
        InputError: the images have no such axis.
    """
    places = image.ndim - 2
    if any(axis >= places for axis in mirror_axes):
        raise InputError(
            f"names axis {max(mirror_axes)}, and images have axes 0 to {places - 1}",
            where="mirror_axes",
            fix="name axes along which a mirrored image still shows its class",
        )
    if len(mirror_axes) == places == 2 and image.shape[2] == image.shape[3]:
        return [side.rot90(turn, (2, 3)) for side in (image, image.flip(2)) for turn in range(4)]
    chosen = [axes for n in range(len(mirror_axes) + 1) for axes in combinations(mirror_axes, n)]
    return [image.flip([2 + axis for axis in axes]) if axes else image for axes in chosen]
