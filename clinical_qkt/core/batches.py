"""How many images a network is given at once: from what they need in memory, and what the machine has.

Every loop over images asks here, see ``footprint`` for what is needed and ``memory`` for what there is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from clinical_qkt.core import memory
from clinical_qkt.core.errors import InputError
from clinical_qkt.core.footprint import Footprint, Step
from clinical_qkt.core.memory import bytes_told

MOST = 256
"""Images at once, however small: more bring nothing."""
BUDGET = {"cpu": 2**26, "cuda": 2**32}
"""Bytes that a batch may take, however large the machine. On a CPU larger batches are slower: at 224 pixels
an image takes least time in a batch of 2. And where ``BUDGET / SHARE`` are free, batches follow from the
network alone, and so do figures to their last bit."""
SHARE = 0.25
"""Of the memory that is free, what a batch may take."""
LAST = 0.75
"""The same for a single image, before it is refused."""
OVERHEAD = 2.0
"""What layers take for their own work, such as copies in another order, beside what is alive between them: a
factor, measured on the networks of the closed list, see tests/core/test_footprint.py. What libraries set up
once for a network, some 100 MB, comes on top."""
SMALL = 2**23
"""Bytes of the images of a batch below which a training needs no look: a network makes some hundred times as
much of them."""
KEPT, PASSING = 0.5, 0.1
"""Of the memory that is free, what prepared images may take that are kept: those of a site's own model, which
are used again and again; and all of another model's, or none."""
FLOAT = 4
"""Bytes of a number of an image."""


def images_at_once(
    network: nn.Module,
    shape: Sequence[int],
    device: torch.device | str = "cpu",
    *,
    most: int = MOST,
    step: Step | None = None,
    copies: int = 1,
    making: int = 0,
    where: str = "",
) -> int:
    """The size of a network's batches, without gradients; see ``at_once``.

    Args:
        network: on whatever device.
        shape: ``(channels, *spatial_size)`` of an image.
        device: where it will be run.
        most: a power of two.
        step: a method of the network, if it is not called itself.
        copies: of each image that are held beside what the network is given, such as the one that was read.
        making: the copies that the making of an image takes, before the network sees it.
        where: whose wish the size of the images is, for the error.

    Raises:
        InputError: one image does not fit.
    """
    if torch.device(device).type == "cpu":
        memory.reuse()
    layers, image = Footprint(network, shape, most, step), FLOAT * math.prod(shape)
    return at_once(
        lambda n: max(OVERHEAD * layers(n) + copies * image * n, making * image * n),
        device,
        most=most,
        what=f"an image of {size_told(shape)}",
        where=where,
    )


def for_images(network: nn.Module, images: Any, device: torch.device | str = "cpu", **how: Any) -> int:
    """``images_at_once`` for images in a list, ``{"image": tensor}``; 1 if there are none."""
    return images_at_once(network, images[0]["image"].shape, device, **how) if len(images) else 1


def at_once(
    needed: Callable[[int], float],
    device: torch.device | str = "cpu",
    *,
    most: int = MOST,
    budget: float | None = None,
    what: str = "an image",
    where: str = "",
) -> int:
    """How many of something fit at once.

    Args:
        needed: bytes for so many.
        most: a power of two.
        budget: bytes; ``BUDGET`` by default.
        what: one of them, for the error.
        where: whose wish its size is, for the error.

    Returns:
        A power of two: the largest for which no more is needed than the budget and ``SHARE`` of the free
        memory; 1 where that does not suffice for one, but ``LAST`` does.

    Raises:
        InputError: one does not fit.
    """
    free, room = memory.free(torch.device(device)), budget or budget_of(device)
    room = room if free is None else min(room, SHARE * free)
    size = most
    while size > 1 and needed(size) > room:
        size //= 2
    if size == 1 and free is not None and needed(1) > LAST * free:
        raise InputError(
            f"{what} needs about {bytes_told(needed(1))} of memory, {bytes_told(free)} are free",
            where=where or "memory",
            fix="end other programs, use a machine with more memory, or leave out the model that asks for it",
        )
    return size


def budget_of(device: torch.device | str) -> float:
    """``BUDGET`` of a kind of device."""
    return BUDGET["cuda" if torch.device(device).type == "cuda" else "cpu"]


def require_trainable(
    network: nn.Module,
    shape: Sequence[int],
    batch: int,
    device: torch.device | str,
    where: str = "batch_size",
) -> None:
    """Refuse a training whose batches cannot fit: its batch size is somebody's word, and is not changed.

    Args:
        network: as it is trained.
        shape: ``(channels, *spatial_size)`` of an image.

    Raises:
        InputError: with the largest batch that could fit.
    """
    if batch * FLOAT * math.prod(shape) < SMALL:
        return
    free, needed = memory.free(torch.device(device)), Footprint(network, shape, batch, training=True)
    if free is None or needed(batch) <= free:
        return
    fits = next((n for n in range(batch, 1, -1) if needed(n) <= free), 0)
    fix = f"set it to {fits} or less, or" if fits else "choose smaller images, or"
    raise InputError(
        f"training on {batch} images of {size_told(shape)} at once needs at least "
        f"{bytes_told(needed(batch))} of memory, {bytes_told(free)} are free",
        where="batch_size",
        fix=f"{fix} use a machine with more memory",
    )


def kept(images: int, shape: Sequence[int], own: bool = True) -> int:
    """How many of so many prepared images are kept in memory; the others are prepared again whenever they are
    looked at.

    Args:
        shape: of each.
        own: whether the site's own model takes them.
    """
    free, each = memory.free(torch.device("cpu")), FLOAT * math.prod(shape)
    if free is None or images * each <= (KEPT if own else PASSING) * free:
        return images
    return int(KEPT * free / each) if own else 0


def held(images: int, shape: Sequence[int], device: torch.device) -> bool:
    """Whether a GPU may keep so many images while a network is trained on them: if they take no more than
    ``SHARE`` of its free memory. A CPU has them already.

    Args:
        shape: of each.
    """
    free = memory.free(device) if device.type == "cuda" else None
    return free is not None and images * FLOAT * math.prod(shape) <= SHARE * free


def size_told(shape: Sequence[int]) -> str:
    """An image's size for people.

    >>> size_told([3, 224, 224]), size_told([1, 96, 96, 96])
    ('224x224 with 3 channels', '96x96x96')
    """
    size = "x".join(map(str, shape[1:]))
    return f"{size} with {shape[0]} channels" if shape[0] > 1 else size
