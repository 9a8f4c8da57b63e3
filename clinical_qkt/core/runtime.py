"""Where networks run, and what follows from it.

A device is chosen once, where a stage or a benchmark begins, and handed down. All else follows from it here:
precision, the processes that share work, and how images are handed over; how many at once and how many stay
in memory is in ``batches``.
"""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from monai.data import DataLoader
from torch import Tensor

WORKERS = 0
"""Processes of a loader beside its own. Images are in memory as tensors, as far as they fit, and are taken
from a list; and an error keeps its type. Where images do not fit, reading and preparing them is 2 % of a
training's step at 512 pixels on a processor, see docs/results/speed.md; on a GPU it is not measured."""

AHEAD = 2
"""Batches that a GPU may be behind what it was told. Each holds memory, and one would do to keep it busy."""
_MIXED: ContextVar[bool] = ContextVar("mixed", default=True)


def device_here() -> torch.device:
    """The GPU, if there is one that can be used; else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def mixed_precision(device: torch.device) -> torch.dtype | None:
    """The type in which trainings multiply: half the bits on GPUs, where that is faster.

    Returns:
        bfloat16 where the GPU computes with it, else float16; None for single precision throughout: on CPUs,
        and where it was asked for, see ``mixed``.
    """
    if device.type != "cuda" or not _MIXED.get():
        return None
    return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16


@contextmanager
def mixed(allowed: bool) -> Iterator[None]:
    """Whether trainings within it may use mixed precision, as a site's ``amp`` says."""
    before = _MIXED.set(allowed)
    try:
        yield
    finally:
        _MIXED.reset(before)


def processes(device: torch.device) -> int:
    """How many may share what has to be computed image by image: one for each core that this one may use.

    Returns:
        0 where all is done by this process alone: on a GPU, and where processes cannot be forked safely.
    """
    return len(os.sched_getaffinity(0)) if device.type == "cpu" and sys.platform == "linux" else 0


def loader(images: Any, **how: Any) -> DataLoader:
    """Images in batches.

    Args:
        images: a dataset or a list of ``{"image": tensor, …}``.
        how: ``batch_size``, ``shuffle`` and whatever else a ``DataLoader`` takes, but for its workers.
    """
    return DataLoader(images, num_workers=WORKERS, **how)


def laid_out(images: Tensor) -> Tensor:
    """A batch as its device computes fastest: pictures on a GPU with the channels last, else as it is."""
    last = images.is_cuda and images.ndim == 4
    return images.contiguous(memory_format=torch.channels_last) if last else images


def stacked(images: list[Tensor], device: torch.device) -> Tensor:
    """Images as one batch on the device. A GPU fetches it while it computes: nobody waits."""
    if device.type != "cuda":
        return torch.stack(images).to(device)
    if images[0].is_cuda:
        return torch.stack(images)
    shape = (len(images), *images[0].shape)
    batch = torch.empty(shape, dtype=images[0].dtype, pin_memory=True)
    return torch.stack(images, out=batch).to(device, non_blocking=True)


def sent(values: Any, device: torch.device) -> Tensor:
    """A few numbers on the device; nobody waits for their copying."""
    tensor = torch.as_tensor(values)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def not_too_far_ahead(batches: Iterable[Any], device: torch.device) -> Iterator[Any]:
    """The same batches; on a GPU the next is handed over when all but ``AHEAD`` of them are done with."""
    under_way: deque[torch.cuda.Event] = deque()
    for batch in batches:
        yield batch
        if device.type == "cuda":
            under_way.append(torch.cuda.current_stream(device).record_event())
            if len(under_way) > AHEAD:
                under_way.popleft().synchronize()
