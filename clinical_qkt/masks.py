"""Knowledge masks: which classes does a model really know? Found without any data.

An overconfident network puts the probability of meaningless inputs on classes that it was trained on. Feed
it noise, average the softmax: ``p[c] >= threshold`` says that it knows class c. The idea is QKT's (Alballa
et al., ICLR 2025, section on class masks); noise at several spatial scales is ours: plain Gaussian noise
collapses onto one or two classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SCALES = (1, 2, 4, 8)
"""By what factor a coarse random grid is enlarged to the input size."""

THRESHOLD = 0.005
"""The least mean probability of a class that counts as known."""


def multiscale_noise(
    count: int,
    channels: int,
    spatial_size: Sequence[int],
    low: float,
    high: float,
    generator: torch.Generator,
) -> Tensor:
    """Noise images at several spatial scales, with a random gain and offset per image and channel.

    Args:
        count: number of images; they are dealt over ``SCALES`` in turn.
        channels: channels of the network's input.
        spatial_size: 2 or 3 sizes in pixels or voxels.
        low, high: the declared range of the network's input.
        generator: the source of randomness, so that a probe can be repeated.

    Returns:
        ``(count, channels, *spatial_size)`` within ``[low, high]``.
    """
    middle, half = (low + high) / 2, (high - low) / 2
    images = torch.empty(count, channels, *spatial_size)
    mode = "bilinear" if len(spatial_size) == 2 else "trilinear"
    one = (1,) * len(spatial_size)
    for k, scale in enumerate(SCALES):
        mine = images[k :: len(SCALES)]
        grid = [max(1, -(-s // scale)) for s in spatial_size]
        noise = torch.randn(len(mine), channels, *grid, generator=generator)
        if scale > 1:
            noise = F.interpolate(noise, size=tuple(spatial_size), mode=mode, align_corners=False)
        gain = torch.rand(len(mine), channels, *one, generator=generator)
        offset = torch.rand(len(mine), channels, *one, generator=generator) * 2 - 1
        images[k :: len(SCALES)] = middle + half * (noise * gain + offset)
    return images.clamp_(low, high)


@torch.no_grad()
def knowledge_scores(
    network: nn.Module,
    channels: int,
    spatial_size: Sequence[int],
    low: float,
    high: float,
    *,
    count: int = 512,
    batch_size: int = 128,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> Tensor:
    """The mean softmax of a network over noise images.

    Args:
        network: takes ``(B, channels, *spatial_size)``, gives logits ``(B, classes)``.
        channels, spatial_size, low, high: the input that the network expects, see ``multiscale_noise``.
        count: number of noise images.
        batch_size: how many are fed at once.
        seed: of the noise.
        device: where the network is run.

    Returns:
        ``(classes,)``, each in ``[0, 1]``, summing to 1.
    """
    generator = torch.Generator().manual_seed(seed)
    noise = multiscale_noise(count, channels, spatial_size, low, high, generator)
    network = network.to(device).eval()
    total = sum(network(batch.to(device)).softmax(1).double().sum(0) for batch in noise.split(batch_size))
    return (total / count).cpu().float()


def knowledge_mask(scores: Tensor, threshold: float = THRESHOLD) -> Tensor:
    """Which classes a model knows.

    Args:
        scores: ``(classes,)`` as from ``knowledge_scores``.
        threshold: the least score that counts as known.

    Returns:
        ``(classes,)`` of booleans.

    >>> knowledge_mask(torch.tensor([0.6, 0.399, 0.001])).tolist()
    [True, True, False]
    """
    return scores >= threshold
