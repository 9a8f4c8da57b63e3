"""Images on another grid, or with other channels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

LUMINANCE = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in grey (ITU-R BT.601)."""


def recoloured(image: Tensor, channels: int, axis: int = 0) -> Tensor:
    """Images with 1 or 3 channels along an axis as grey or colour.

    Grey is repeated; colour is reduced to its luminance.
    """
    if image.shape[axis] == channels:
        return image
    if channels == 3:
        return torch.cat([image] * 3, axis)
    red, green, blue = image.split(1, axis)
    return LUMINANCE[0] * red + LUMINANCE[1] * green + LUMINANCE[2] * blue


def resampled(
    image: Tensor, spacing: Sequence[float], size: Sequence[int], to: Sequence[float], fill: float
) -> Tensor:
    """Images on a grid of another spacing around the same centre, linearly interpolated.

    Args:
        image: ``(B, C, *places)`` with ``spacing`` in millimetres along each axis.
        size, to: places and spacing of the result.
        fill: beyond the image's edge.

    Returns:
        ``(B, C, *size)``.
    """
    if list(image.shape[2:]) == list(size) and list(spacing) == list(to):
        return image
    axes = [
        (torch.arange(n, device=image.device) - (n - 1) / 2) * (2 * t / (m * s))
        for n, t, m, s in zip(size, to, image.shape[2:], spacing, strict=True)
    ]
    # grid_sample names the last axis first
    grid = torch.stack(torch.meshgrid(*axes, indexing="ij")[::-1], -1).to(image)
    grid = grid.expand(image.shape[0], *grid.shape)
    inside = F.grid_sample(torch.ones_like(image[:, :1]), grid, align_corners=False, padding_mode="zeros")
    found = F.grid_sample(image, grid, align_corners=False, padding_mode="border")
    return torch.where(inside > 0.5, found, torch.as_tensor(fill).to(found))
