"""The machine that ``prepare`` runs on, as far as its choices follow from it.

PyTorch takes its time to come, and nothing else of ``prepare`` asks for it: so it is imported when asked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

ROOM = 2e9
"""Bytes that the images of a step may take on a CPU: with the program and what layers take for their own work
a training then stays within 3 GB."""
SHARE = 0.5
"""Of the memory that is free, what they may take: other programs want some, and layers as much again."""


def has_gpu() -> bool:
    """Whether PyTorch finds one."""
    import torch

    return torch.cuda.is_available()


def room() -> float:
    """Bytes that a step of a training may take."""
    import torch

    from clinical_qkt.core import memory

    gpu = has_gpu()
    free = memory.free(torch.device("cuda" if gpu else "cpu"))
    most = float("inf") if gpu else ROOM
    return most if free is None else min(most, SHARE * free)


def step(architecture: str, shape: Sequence[int], most: int = 64) -> Callable[[int], float]:
    """Bytes that a step of a training on so many images takes; measured without taking any.

    Args:
        architecture: a network of the closed list that takes such images.
        shape: ``(channels, *spatial_size)``.
        most: images in a step.
    """
    from clinical_qkt.core.footprint import Footprint
    from clinical_qkt.networks.spec import preset

    network = preset(architecture, shape[0], shape[1:]).build(2)
    return Footprint(network, shape, most, training=True)
