"""Where networks run, and what follows from it.

A device is chosen once, where a stage or a benchmark begins, and handed down. All else follows from it here:
precision, the processes that share work, and how images are handed over; how many at once and how many stay
in memory is in ``batches``.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import torch
from monai.data import DataLoader

WORKERS = 0
"""Processes of a loader beside its own. Images are in memory as tensors, as far as they fit, and are taken
from a list; and an error keeps its type. Whether more would help where images do not fit is not measured."""


def device_here() -> torch.device:
    """The GPU, if there is one that can be used; else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def mixed_precision(device: torch.device) -> bool:
    """Whether trainings on a device use it: on GPUs alone, where it is faster."""
    return device.type == "cuda"


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
