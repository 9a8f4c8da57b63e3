"""The machine that ``prepare`` runs on, as far as its choices follow from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from clinical_qkt.core import memory
from clinical_qkt.core.footprint import Footprint
from clinical_qkt.core.runtime import device_here
from clinical_qkt.networks.spec import preset

ROOM = {"cpu": 2e9, "cuda": float("inf")}
"""Bytes that the images of a step may take: on a CPU, with the program and what layers take for their own
work, a training then stays within 3 GB."""
SHARE = 0.5
"""Of the memory that is free, what they may take: other programs want some, and layers as much again."""


def has_gpu() -> bool:
    """Whether trainings here would run on one."""
    return device_here().type == "cuda"


def room(device: torch.device | None = None) -> float:
    """Bytes that a step of a training may take, by default where it would run."""
    device = device or device_here()
    free = memory.free(device)
    return ROOM[device.type] if free is None else min(ROOM[device.type], SHARE * free)


def step(architecture: str, shape: Sequence[int], most: int = 64) -> Callable[[int], float]:
    """Bytes that a step of a training on so many images takes; measured without taking any.

    Args:
        architecture: a network of the closed list that takes such images.
        shape: ``(channels, *spatial_size)``.
        most: images in a step.
    """
    network = preset(architecture, shape[0], shape[1:]).build(2)
    return Footprint(network, shape, most, training=True)
