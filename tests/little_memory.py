"""A device whose memory holds less than was reckoned with."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


def narrow(network: nn.Module, holds: int = 2) -> nn.Module:
    """The same network, as on a device whose memory holds what so many images take."""

    def look(_: nn.Module, given: tuple[Any, ...]) -> None:
        if len(given[0]) > holds:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    network.register_forward_pre_hook(look)
    return network
