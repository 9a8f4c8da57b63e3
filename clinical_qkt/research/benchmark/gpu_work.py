"""How fast everything is done that is no plain training: answers, features, probes, a transfer's steps."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clinical_qkt.core.batches import images_at_once
from clinical_qkt.data.transforms import symmetries
from clinical_qkt.networks.spec import preset
from clinical_qkt.research.benchmark.speed_cases import CLASSES, Cases
from clinical_qkt.training.inference import features_of

LONG = 2.0
"""Seconds after which nothing is repeated."""


@dataclass(frozen=True)
class Work:
    """What is measured at one size.

    Attributes:
        images: noise; ``probes``: of the model that is probed.
        private: epochs of a training with differential privacy, of ``densenet_private``.
    """

    network: str
    pixels: int
    images: int
    probes: int
    private: int = 0


def measured(work: Work, device: torch.device, repeats: int) -> list[dict[str, Any]]:
    """Images a second of each way, the most of the repeats after one that is left out."""
    torch.backends.cudnn.deterministic = False  # as PyTorch has it, whatever ran before
    cases = Cases.of(work.images, 2, device, work.network, work.pixels, networks=4)
    about = {"network": work.network, "pixels": work.pixels}
    return [
        {
            **about,
            "what": what,
            "images": count,
            "images_per_second": round(count / _least(do, device, repeats), 1),
        }
        for what, (count, do) in _ways(cases, work, device).items()
    ]


def _ways(cases: Cases, work: Work, device: torch.device) -> dict[str, tuple[int, Callable[[], Any]]]:
    """By name: how many images, and what is done with them."""
    one, count, extractor = cases.networks[0], work.images, cases.extractor
    ways: dict[str, tuple[int, Callable[[], Any]]] = {
        "a network answers: bare loop": (count, lambda: _bare(cases, one, one)),
        "a network answers: ours": (count, lambda: cases.logits(one)),
        "a committee of 4 and the own model answers": (count, lambda: cases.logits(cases.together(4))),
        "features of all views: bare loop": (count, lambda: _bare(cases, extractor, extractor.features)),
        "features of all views: ours": (count, lambda: features_of(extractor, cases.items, device)),
        "a site's statistics": (count, cases.statistics),
        "probing a model": (work.probes, lambda: cases.probing(work.probes)),
        "distilling from 4 teachers, 2 epochs": (2 * count, lambda: cases.transfer(4, 4)),
        "heads for 4 teachers": (count, lambda: cases.heads(4)),
    }
    if work.private:
        done = count * work.private
        ways["training with differential privacy"] = (done, lambda: _private(cases, work.private))
    return ways


@torch.no_grad()
def _bare(cases: Cases, body: nn.Module, see: Callable[[Tensor], Tensor]) -> Tensor:
    """The same on images that are on the device already, and stay there."""
    body.to(cases.device).eval()
    shape, gpu = cases.pictures.shape[1:], cases.device.type == "cuda"
    size = images_at_once(body, shape, cases.device, step=see)
    pictures = cases.pictures.to(cases.device)
    last = torch.channels_last if gpu else torch.contiguous_format
    return torch.cat([see(part.contiguous(memory_format=last)) for part in pictures.split(size)]).cpu()


def _private(cases: Cases, epochs: int) -> None:
    from clinical_qkt.training.dp_training import train_privately  # opacus takes its time to be imported

    train_privately(
        preset("densenet_private", 3, cases.size).build(CLASSES),
        cases.items,
        symmetries(cases.size),
        lambda said, targets: F.cross_entropy(said, targets["label"]),
        epsilon=8,
        delta=1e-5,
        max_grad_norm=1,
        max_epochs=epochs,
        learning_rate=1e-3,
        batch_size=64,
        device=cases.device,
        what="speed",
    )


def _least(do: Callable[[], Any], device: torch.device, repeats: int) -> float:
    """Seconds; the first time is left out, unless it took so long that beginning is no part of it."""
    first = _seconds(do, device)
    return first if first > LONG else min(_seconds(do, device) for _ in range(repeats))


def _seconds(do: Callable[[], Any], device: torch.device) -> float:
    start = time.perf_counter()
    do()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start
