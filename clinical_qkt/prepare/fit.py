"""What a site's images ask of its bundle and network: sizes, spacing, window, architecture, batches, epochs.

Pure functions of facts about images; each choice comes with its reason, for the person who reads the YAML.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from clinical_qkt.core.memory import bytes_told
from clinical_qkt.prepare.findings import Found

LARGEST, LARGEST_3D, LEAST = 224, 64, 8
"""Pixels, or voxels, along an image's longest side to which larger ones are shrunk: what a small network can
use and a machine without a GPU can train. No side is below the last."""
LONGER = "a larger size costs time and memory, `--longest-side` of `prepare` gives it"
"""Beside every size that images are shrunk to."""
SMALL = 64
"""Pixels up to which a small network looks at every one of them."""
LARGE = 96
"""Pixels above which networks whose first layer looks at every pixel cost too much and see too little."""
MANY = 2000
"""Training images that a network of some million weights needs, as a rule."""
START = (
    "'pretrained: FILE', 'architecture: efficientnet_lite0_stages', 'trained_layers: head', "
    "'head_penalty: 0.2' and 'held_out_folds: 10', see docs/how-to/train.md, 'Starting from pretrained "
    "weights'"
)
"""What fits the head of a network with pretrained weights, on a CPU in one look at each image."""
EPOCHS, SEEN = (8, 25), 9000
"""At least, at most; and images that a training sees in all, between these."""


@dataclass(frozen=True)
class Chosen:
    """A key of the site's YAML.

    Attributes:
        value: for YAML.
        why: for the comment beside it.
        note: for the summary, where the choice changes images.
    """

    key: str
    value: Any
    why: str
    note: str = ""


def sizes(images: Sequence[Found], longest: int | None = None) -> list[Chosen]:
    """``spatial_size``, and for volumes the spacing on which it is counted.

    Args:
        longest: side to which larger images are shrunk; by default ``LARGEST``, or ``LARGEST_3D``.
    """
    usual = _usual_shape(images)
    if len(usual) == 3:
        return _volume(images, usual, longest or LARGEST_3D)
    return [_flat(images, usual, longest or LARGEST)]


def _flat(images: Sequence[Found], usual: tuple[int, ...], longest: int) -> Chosen:
    size = flat_size(usual, longest)
    mixed = len({f.shape[1:] for f in images}) > 1
    own = "the images' own" if not mixed else f"the usual one of {len({f.shape[1:] for f in images})} sizes"
    if size == list(usual):
        return Chosen("spatial_size", size, f"width and height: {own}", _resized(size) if mixed else "")
    told = f"images are shrunk from {_by(usual)} to {_by(size)} pixels, by {max(usual) / max(size):.2g}"
    if max(usual) <= longest:  # below LEAST along an axis
        told = f"images are enlarged from {_by(usual)} to {_by(size)} pixels"
    return Chosen("spatial_size", size, f"{told}; {LONGER}", told)


def flat_size(usual: Sequence[int], longest: int = LARGEST) -> list[int]:
    """The size that a picture is brought to: its own, or ``longest`` along its longer side."""
    factor = max(1.0, max(usual) / longest)
    return [max(LEAST, round(n / factor)) for n in usual]


def _volume(images: Sequence[Found], usual: tuple[int, ...], longest: int) -> list[Chosen]:
    """A grid that covers the usual volume, at its own spacing if that is not too fine."""
    spacings = [f.spacing for f in images if f.spacing]
    own = [round(median(s[axis] for s in spacings), 3) for axis in range(3)]
    factor = max(1.0, max(usual) / longest)
    spacing = [round(s * factor, 3) for s in own]
    size = [max(LEAST, math.ceil(n / factor - 1e-6)) for n in usual]
    shrunk = f"volumes are shrunk from {_by(usual)} to {_by(size)} voxels, by {factor:.2g}"
    note = shrunk if factor > 1 else ""
    return [
        Chosen(
            "spatial_size", size, f"along each axis; {shrunk}; {LONGER}" if note else "the volumes' own", note
        ),
        Chosen("input::spacing", spacing, "millimetres between voxels, to which volumes are resampled"),
    ]


def network(size: Sequence[int], training_images: int, gpu: bool = False) -> Chosen:
    """``architecture``: as much as the size of the images asks for, and their number and the device allow.

    Args:
        size: of the images, in pixels or voxels.
        gpu: whether the training has one.
    """
    key = "architecture"
    if len(size) == 3:
        return Chosen(key, "resnet_small_stride2", "0.9 million weights, first step of two voxels: fast")
    if max(size) <= SMALL:
        return Chosen(key, "resnet_small", f"0.3 million weights, for pictures of up to {SMALL} pixels")
    if training_images < MANY or min(size) < 32:
        return Chosen(
            key,
            "resnet_small_stride2",
            f"0.3 million weights: {training_images} training images are few for more; first step of two",
            _few(training_images) if max(size) > LARGE else "",
        )
    if max(size) > LARGE:
        return _large(training_images, gpu)
    return Chosen(
        key,
        "densenet121",
        f"7 million weights, since there are {training_images} training images; without a GPU "
        "resnet_small_stride2 is ten times as fast",
    )


def _few(training_images: int) -> str:
    return (
        f"{training_images} training images of over {LARGE} pixels teach a network little: it can start from "
        f"pretrained weights with {START}"
    )


def _large(training_images: int, gpu: bool) -> Chosen:
    """For many large pictures: what a GPU computes fastest, or what costs a CPU least."""
    name, weights = ("resnet18_standard", "11") if gpu else ("efficientnet_lite0", "3.4")
    device = "a GPU" if gpu else "no GPU"
    return Chosen(
        "architecture",
        name,
        f"{weights} million weights, since there are {training_images} training images and {device}; not "
        f"resnet_small or resnet18, whose first layer is for pictures of up to {SMALL} pixels",
        "" if gpu else f"without a GPU epochs take long: it can start from pretrained weights with {START}",
    )


def batch(
    size: Sequence[int],
    training_images: int,
    needed: Callable[[int], float] | None = None,
    room: float = math.inf,
) -> Chosen:
    """``batch_size``: smaller for large images and for few of them, and where memory is short.

    Args:
        size: of the images, in pixels or voxels.
        needed: bytes that a step on so many images takes.
        room: bytes that it may take; a few images more where each smaller batch would leave a single one.
    """
    fits = 64 if math.prod(size) <= 96 * 96 else 32 if math.prod(size) <= 128 * 128 else 16
    wanted, why = max(2, min(fits, training_images // 4)), "images in a step of the training"
    if needed is not None and (most := needed(wanted)) > room:
        why += f"; {wanted} would take {bytes_told(most)} of memory"
        wanted = next((n for n in (32, 16, 8, 4) if n < wanted and needed(n) <= room), 2)
    even = (n for n in (*range(wanted, 1, -1), *range(wanted + 1, 9)) if training_images % n != 1)
    steps = next(even, wanted)  # batch norm cannot learn from a last step of one image
    return Chosen("batch_size", steps, why)


def epochs(training_images: int) -> Chosen:
    """``max_epochs``, see ``epochs_for``."""
    return Chosen("max_epochs", epochs_for(training_images), "more for few images, which are seen too seldom")


def epochs_for(training_images: int) -> int:
    """Eight for thousands of images, up to 25 for hundreds, which would else be seen too seldom."""
    least, most = EPOCHS
    return max(least, min(most, round(SEEN / training_images)))


def window(images: Sequence[Found]) -> Chosen:
    """``input::intensity_range`` in Hounsfield units: the one that most headers name, or all."""
    named = Counter(f.window for f in images if f.window).most_common(1)
    if named:
        (low, high), count = named[0]
        return Chosen(
            "input::intensity_range",
            [low, high],
            f"HU: the window that {count} of {len(images)} headers name; choose what shows your classes",
        )
    low, high = median(f.low for f in images), median(f.high for f in images)
    return Chosen(
        "input::intensity_range",
        [max(-1024.0, round(low)), min(3071.0, round(high))],
        "HU: all that the median image holds, since no header names a window",
    )


def _usual_shape(images: Sequence[Found]) -> tuple[int, ...]:
    shapes = Counter(f.shape[1:] for f in images).most_common()
    if len(shapes) == 1 or shapes[0][1] > len(images) / 2:
        return shapes[0][0]
    return tuple(round(median(f.shape[1:][axis] for f in images)) for axis in range(len(shapes[0][0])))


def _resized(size: Sequence[int]) -> str:
    return f"images of all sizes are resized to {_by(size)} pixels, whatever their proportions"


def _by(size: Sequence[int]) -> str:
    return "x".join(map(str, size))
