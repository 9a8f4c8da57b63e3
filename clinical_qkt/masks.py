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
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor, nn

from clinical_qkt.batches import images_at_once
from clinical_qkt.errors import InputError
from clinical_qkt.gradual import chance
from clinical_qkt.ledger import Ledger
from clinical_qkt.ledger_lines import MaskLine, Told
from clinical_qkt.packages.card import KnowledgeMask
from clinical_qkt.probes import COPIES, probes

THRESHOLD = 0.1
"""The least score of a class that counts as known, for the statistic ``peak``."""

AT_ONCE = 128
"""Probes, at most."""

Statistic = Literal["peak", "mean"]


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
    batch_size: int | None = None,
    seed: int = 0,
    device: torch.device | str = "cpu",
    where: str = "",
) -> Tensor:
    """What a network makes of probes, half of them noise and half shapes.

    Args:
        network: takes ``(B, channels, *spatial_size)``, gives logits ``(B, classes)``.
        channels, spatial_size, low, high: the input that the network expects, see ``probes.Noise``.
        normalise: what is done to images within that range before they reach the network.
        statistic: ``peak``, the highest softmax probability of the class over all probes (ours), or
            ``mean``, the average (the paper's).
        count: number of probes.
        batch_size: how many are made and fed at once; what memory holds by default. The probes are the same.
        seed: of the probes.
        device: where the network is run.
        where: whose network it is, for the error.

    Returns:
        ``(classes,)``, each in ``[0, 1]``.

    Raises:
        InputError: not even one probe fits.
    """
    shape = (channels, *spatial_size)
    how: dict[str, Any] = {"most": AT_ONCE, "copies": 2, "making": COPIES, "where": where}
    network = network.to(device).eval()
    size = batch_size or images_at_once(network, shape, device, **how)
    normalise = normalise or (lambda values: values)
    made = probes(count, channels, spatial_size, low, high, seed=seed, at_once=size)
    said = torch.cat([network(normalise(batch).to(device)).softmax(1).cpu() for batch in made]).float()
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
    scores: dict[str, float],
    epsilon: float | None = None,
    ledger: Ledger | None = None,
    site: str = "",
    earlier: Path | None = None,
) -> KnowledgeMask:
    """The mask as a card tells it: the scores as found; or with an epsilon 0 or 1, by randomised response.

    Args:
        ledger: of the site; it keeps what is told of each class for good. The same is told again, since two
            draws tell more than one (Erlingsson et al., CCS 2014, arXiv 1407.6981, section 3). At another
            epsilon, what is told is tied to what was told before, so that all together tell no more than the
            largest, see ``gradual``. A class that comes to be known, or no longer is, is drawn for itself,
            once: it tells twice as much at most, however often it comes and goes.
        site: whose mask it is.
        earlier: a file in which an earlier version kept what it told; taken over, if it is there.

    Raises:
        InputError: the ledger is not begun, or the earlier file is damaged.
        OutputError: the ledger cannot be used, or lacks lines that it once had.
    """
    if epsilon is None:
        return KnowledgeMask(scores=scores, threshold=THRESHOLD)
    known = {name: score >= THRESHOLD for name, score in scores.items()}
    told: dict[str, bool] = {}
    taken_over = _read_earlier(earlier)

    def draw(before: Mapping[str, Told]) -> list[MaskLine]:
        kept = [line for line in taken_over if (line.known, line.epsilon) not in before.get(line.label, {})]
        new = []
        for name, really in known.items():
            levels = _levels(name, really, before, kept)
            if epsilon not in levels:
                drawn = random.SystemRandom().random() < chance(really, epsilon, levels)
                new.append(MaskLine(name, really, epsilon, drawn))
            told[name] = levels[epsilon] if epsilon in levels else new[-1].told
        return [*kept, *new]

    if ledger:
        ledger.mask(site, draw)
    else:
        draw({})
    return KnowledgeMask(scores={n: float(t) for n, t in told.items()}, threshold=0.5, epsilon=epsilon)


def _levels(
    name: str, known: bool, before: Mapping[str, Told], kept: Sequence[MaskLine]
) -> dict[float, bool]:
    """What was told of a class that is known, or is not, by epsilon."""
    found = {e: t for (k, e), t in before.get(name, {}).items() if k is known}
    return found | {line.epsilon: line.told for line in kept if (line.label, line.known) == (name, known)}


class _Earlier(BaseModel):
    """What a site told of its mask, and what it knew then, as an earlier version kept it."""

    model_config = ConfigDict(extra="forbid")
    epsilon: float
    known: dict[str, bool] = {}
    told: dict[str, bool] = {}


def _read_earlier(file: Path | None) -> list[MaskLine]:
    if file is None or not file.exists():
        return []
    try:
        found = _Earlier.model_validate_json(file.read_bytes())
        return [MaskLine(n, found.known[n], found.epsilon, told) for n, told in found.told.items()]
    except (OSError, ValidationError, KeyError):
        raise InputError(
            "cannot be read, so that what was told of the mask before cannot be told again",
            where=str(file),
            fix="restore it from a backup; without it the mask is drawn anew, and two draws tell more",
        ) from None
