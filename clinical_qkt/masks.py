"""Knowledge masks: which classes does a model really know? Found without any data.

An overconfident network puts the probability of meaningless inputs on classes that it was trained on, and
hardly any on a row of its head that never had an image. The idea is QKT's (Alballa et al., ICLR 2025), which
averages the softmax over noise. Ours are the probes, noise at several spatial scales and random shapes, since
plain Gaussian noise collapses onto one or two classes; and the statistic: the *highest* probability that any
probe reaches. A known class that noise seldom resembles has a low mean, but some probe finds it.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor, nn
from torch.nn import functional as F

from clinical_qkt.errors import InputError
from clinical_qkt.files import write_json
from clinical_qkt.packages.card import KnowledgeMask

SCALES = (1, 2, 4, 8)
"""By what factor a coarse random grid is enlarged to the input size."""

SHAPES = 3
"""The most discs, or balls, in a probe of shapes."""

THRESHOLD = 0.1
"""The least score of a class that counts as known, for the statistic ``peak``."""

Statistic = Literal["peak", "mean"]


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


def random_shapes(
    count: int,
    channels: int,
    spatial_size: Sequence[int],
    low: float,
    high: float,
    generator: torch.Generator,
) -> Tensor:
    """Discs (in 3D: balls) of random place, size and colour on a plain ground, with some noise.

    Args and returns as for ``multiscale_noise``.
    """
    middle, half = (low + high) / 2, (high - low) / 2
    dims, one = len(spatial_size), (1,) * len(spatial_size)
    axes = torch.meshgrid(*(torch.linspace(0, 1, s) for s in spatial_size), indexing="ij")

    def random(*shape: int) -> Tensor:
        return torch.rand(count, *shape, generator=generator)

    images = (random(channels, *one) * 2 - 1).expand(count, channels, *spatial_size).clone()
    for _ in range(SHAPES):
        radius = 0.03 + 0.4 * random(*one) ** 2
        distance = torch.stack([(axes[d] - random(*one)) ** 2 for d in range(dims)]).sum(0)
        inside = ((distance < radius**2) & (random(*one) < 0.7))[:, None]
        images = torch.where(inside, random(channels, *one) * 2 - 1, images)
    images += 0.3 * random(1, *one) * torch.randn(images.shape, generator=generator)
    return (middle + half * images).clamp_(low, high)


@torch.no_grad()
def knowledge_scores(
    network: nn.Module,
    channels: int,
    spatial_size: Sequence[int],
    low: float,
    high: float,
    *,
    normalise: Callable[[Tensor], Tensor] | None = None,
    statistic: Statistic = "peak",
    count: int = 2048,
    batch_size: int = 128,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> Tensor:
    """What a network makes of probes, half of them noise and half shapes.

    Args:
        network: takes ``(B, channels, *spatial_size)``, gives logits ``(B, classes)``.
        channels, spatial_size, low, high: the input that the network expects, see ``multiscale_noise``.
        normalise: what is done to images within that range before they reach the network.
        statistic: ``peak``, the highest softmax probability of the class over all probes (ours), or
            ``mean``, the average (the paper's).
        count: number of probes.
        batch_size: how many are fed at once.
        seed: of the probes.
        device: where the network is run.

    Returns:
        ``(classes,)``, each in ``[0, 1]``.
    """
    generator = torch.Generator().manual_seed(seed)
    made = (channels, spatial_size, low, high, generator)
    probes = torch.cat([multiscale_noise(count // 2, *made), random_shapes(count - count // 2, *made)])
    if normalise is not None:
        probes = normalise(probes)
    network = network.to(device).eval()
    said = torch.cat(
        [network(batch.to(device)).softmax(1).cpu() for batch in probes.split(batch_size)]
    ).float()
    return said.amax(0) if statistic == "peak" else said.mean(0)


def knowledge_mask(scores: Tensor, threshold: float = THRESHOLD) -> Tensor:
    """Which classes a model knows.

    Args:
        scores: ``(classes,)`` as from ``knowledge_scores``.
        threshold: the least score that counts as known.

    Returns:
        ``(classes,)`` of booleans.

    >>> knowledge_mask(torch.tensor([0.99, 0.7, 0.01])).tolist()
    [True, True, False]
    """
    return scores >= threshold


def randomised(known: Sequence[bool], epsilon: float, draw: Callable[[], float] | None = None) -> list[bool]:
    """A mask by randomised response (Warner, JASA 1965): for each class the truth, or by chance its opposite.

    The truth is told with probability ``e^epsilon / (1 + e^epsilon)``, for each class by itself. So whatever
    is read, each class is at most ``e^epsilon`` times as likely to be known as not, beyond what was guessed
    before: epsilon-differential privacy for each class, ``n`` epsilon for the whole mask. Two draws tell more
    than one.

    Args:
        known: the true mask.
        draw: uniform numbers in ``[0, 1)``; the operating system's by default.
    """
    draw, truth = draw or random.SystemRandom().random, 1 / (1 + math.exp(-epsilon))
    return [k if draw() < truth else not k for k in known]


def published(
    scores: dict[str, float], epsilon: float | None = None, memory: Path | None = None
) -> KnowledgeMask:
    """The mask as a card tells it: the scores as found; or with an epsilon 0 or 1, by randomised response.

    Args:
        memory: a file that stays at the site, in which what was told is kept, so that the same is told of a
            class the next time: two draws tell more than one (Erlingsson et al., CCS 2014, arXiv 1407.6981,
            section 3). Drawn anew is a class only if it came to be known, or no longer is, or at another
            epsilon.

    Raises:
        InputError: the file is damaged.
    """
    if epsilon is None:
        return KnowledgeMask(scores=scores, threshold=THRESHOLD)
    known = {name: score >= THRESHOLD for name, score in scores.items()}
    before = _Told.read(memory, epsilon)
    new = [n for n, k in known.items() if before.known.get(n) is not k]
    told = before.told | dict(zip(new, randomised([known[n] for n in new], epsilon), strict=True))
    if memory:
        now = _Told(epsilon=epsilon, known=before.known | known, told=told)
        write_json(memory, now.model_dump(mode="json"))
    return KnowledgeMask(scores={n: float(told[n]) for n in scores}, threshold=0.5, epsilon=epsilon)


class _Told(BaseModel):
    """What a site told of its mask, and what it knew then."""

    model_config = ConfigDict(extra="forbid")
    epsilon: float
    known: dict[str, bool] = {}
    told: dict[str, bool] = {}

    @classmethod
    def read(cls, file: Path | None, epsilon: float) -> _Told:
        if file is None or not file.exists():
            return cls(epsilon=epsilon)
        try:
            found = cls.model_validate_json(file.read_bytes())
        except (OSError, ValidationError):
            raise InputError(
                "cannot be read, so that what was told of the mask before cannot be told again",
                where=str(file),
                fix="restore it from a backup; without it the mask is drawn anew, and two draws tell more",
            ) from None
        return found if found.epsilon == epsilon else cls(epsilon=epsilon)
