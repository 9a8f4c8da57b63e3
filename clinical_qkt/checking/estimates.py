"""What a stage will need of memory, disk and time, told before anything is computed.

All of it is estimated from shapes: networks are run on the "meta" device, where nothing is computed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from clinical_qkt.networks.hooks import watching
from clinical_qkt.networks.spec import NetworkSpec

FLOAT = 4
"""Bytes of a number in single precision."""
PROGRAM = 700 * 2**20
"""Bytes that Python, torch and MONAI themselves take."""
RATE = {"cpu": 1e10, "cuda": 1e12}
"""Multiply-adds a second that are counted on: of a CPU's thread, of a GPU. Cautious."""
BACKWARD = 4
"""A training step against a forward pass, measured on the networks of the list."""
STATES = 4
"""A weight in training: itself, its gradient, and the optimiser's two moments."""


@dataclass(frozen=True)
class Cost:
    """What a network needs for one image.

    Attributes:
        weights: numbers.
        activations: numbers that all its layers give for one image.
        multiply_adds: of a forward pass.
    """

    weights: int
    activations: int
    multiply_adds: int


@dataclass(frozen=True)
class Load:
    """What a stage does.

    Attributes:
        cost: of its network.
        channels, size: of its images.
        cached: images that are kept in memory.
        passes: forward passes in all, of one image each.
        trained: those of them that weights are trained with.
        batch: images at once.
    """

    cost: Cost
    channels: int
    size: Sequence[int]
    cached: int
    passes: int
    trained: int
    batch: int

    @property
    def memory(self) -> int:
        """Bytes: the program, the images, the weights, and what the layers give for a batch."""
        images = self.cached * self.channels * math.prod(self.size) * FLOAT
        states = STATES if self.trained else 1
        layers = self.cost.activations * self.batch * (2 if self.trained else 1)
        return PROGRAM + images + (self.cost.weights * states + layers) * FLOAT

    def seconds(self, device: torch.device) -> float:
        """Of computing alone."""
        work = self.passes + (BACKWARD - 1) * self.trained
        threads = torch.get_num_threads() if device.type == "cpu" else 1
        return self.cost.multiply_adds * work / (RATE[device.type] * threads)


@torch.no_grad()
def cost_of(spec: NetworkSpec, classes: int, channels: int, size: Sequence[int]) -> Cost:
    """A network's cost for an image of a size, without memory or work."""
    with torch.device("meta"):
        network = spec.build(classes).eval()
    given = 0

    def see(_: nn.Module, __: object, output: object) -> None:
        nonlocal given
        given += output.numel() if isinstance(output, torch.Tensor) else 0

    leaves = [m for m in network.modules() if not list(m.children())]
    with FlopCounterMode(display=False) as counter, watching(see, *leaves):
        network(torch.empty(1, channels, *size, device="meta"))
    weights = sum(p.numel() for p in network.parameters())
    return Cost(weights, given, counter.get_total_flops() // 2)


def seconds_told(seconds: float) -> str:
    """A time for people, by its order of magnitude.

    >>> seconds_told(3), seconds_told(400), seconds_told(20_000)
    ('less than a minute', '7 minutes', '6 hours')
    """
    if seconds < 60:
        return "less than a minute"
    return f"{round(seconds / 60)} minutes" if seconds < 7200 else f"{round(seconds / 3600)} hours"
