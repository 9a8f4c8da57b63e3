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
from typing import Any, Literal

import torch
from torch import Tensor, nn

from clinical_qkt.core.batches import images_at_once
from clinical_qkt.core.parts import InParts
from clinical_qkt.core.progress import bar
from clinical_qkt.data.probes import COPIES, probes
from clinical_qkt.tasks.single_label import SINGLE_LABEL
from clinical_qkt.training.inference import Rows

THRESHOLD = 0.1
"""The least score of a class that counts as known, for the statistic ``peak``."""

AT_ONCE = 128
"""Probes, at most."""

Statistic = Literal["peak", "mean"]
See = Callable[[Tensor], Tensor]
"""From a batch of images to ``(B, …)``."""


@torch.no_grad()
def knowledge_scores(
    network: nn.Module,
    channels: int,
    spatial_size: Sequence[int],
    low: float,
    high: float,
    *,
    statistic: Statistic = "peak",
    **how: Any,
) -> Tensor:
    """What a network makes of probes, half of them noise and half shapes.

    Args:
        network: takes ``(B, channels, *spatial_size)``, gives logits ``(B, classes)``.
        channels, spatial_size, low, high: the input that the network expects, see ``probes.Noise``.
        statistic: ``peak``, the highest softmax probability of the class over all probes (ours), or
            ``mean``, the average (the paper's).
        how: what else ``of_probes`` takes: number and seed of the probes, and where it is computed.

    Returns:
        ``(classes,)``, each in ``[0, 1]``.

    Raises:
        InputError: not even one probe fits.

    >>> blind = nn.Sequential(nn.Flatten(), nn.Linear(192, 2))  # says the first class, whatever it is shown
    >>> _ = blind.load_state_dict({"1.weight": torch.zeros(2, 192), "1.bias": torch.tensor([6.0, 0.0])})
    >>> [round(score, 3) for score in knowledge_scores(blind, 3, [8, 8], 0.0, 1.0, count=16).tolist()]
    [0.998, 0.002]
    """
    return scores_of(of_probes(network, network, channels, spatial_size, low, high, **how), statistic)


def scores_of(logits: Tensor, statistic: Statistic) -> Tensor:
    """``(classes,)`` from the logits ``(probes, classes)``, see ``knowledge_scores``.

    >>> [round(s, 2) for s in scores_of(torch.tensor([[4.0, 0.0], [0.0, 0.0]]), "peak").tolist()]
    [0.98, 0.5]
    """
    said = SINGLE_LABEL.probabilities(logits)
    return said.amax(0) if statistic == "peak" else said.mean(0)


@torch.no_grad()
def of_probes(
    network: nn.Module,
    see: See,
    channels: int,
    spatial_size: Sequence[int],
    low: float,
    high: float,
    *,
    normalise: Callable[[Tensor], Tensor] | None = None,
    count: int = 2048,
    batch_size: int | None = None,
    seed: int = 0,
    device: torch.device | str = "cpu",
    where: str = "",
) -> Tensor:
    """What is seen of a network while it looks at probes.

    Args:
        network: takes ``(B, channels, *spatial_size)``.
        see: from such images to ``(B, …)``, by the network.
        channels, spatial_size, low, high: as ``knowledge_scores`` has them.
        normalise: what is done to images within that range before they reach the network.
        count: number of probes.
        batch_size: how many are made and fed at once; what memory holds by default. The probes are the same.
        seed: of the probes.
        device: where the network is run.
        where: whose network it is, for the error.

    Returns:
        ``(count, …)`` float32 on the CPU.

    Raises:
        InputError: not even one probe fits.
    """
    shape = (channels, *spatial_size)
    how: dict[str, Any] = {"most": AT_ONCE, "copies": 2, "making": COPIES, "where": where}
    network = network.to(device).eval()
    size = batch_size or images_at_once(network, shape, device, **how)
    normalise = normalise or (lambda values: values)
    made = probes(count, channels, spatial_size, low, high, seed=seed, at_once=size)
    found, seen = Rows(count), InParts(see, f"probes of {where}" if where else "probes")
    with bar(count, f"probes of {where}" if where else "probes") as told:
        for batch in made:
            found.add(seen(normalise(batch).to(device)).float())
            told.update(len(batch))
    return found.all()


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

    >>> draws = iter([0.2, 0.9, 0.4])
    >>> randomised([True, True, False], epsilon=1.0, draw=lambda: next(draws))  # the truth below 0.731
    [True, False, False]
    """
    draw, truth = draw or random.SystemRandom().random, 1 / (1 + math.exp(-epsilon))
    return [k if draw() < truth else not k for k in known]
