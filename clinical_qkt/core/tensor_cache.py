"""Tensors that took long to compute, on disk for the next start."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from clinical_qkt.core.files import write_whole


def cached(path: Path, make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    """Tensors from a file; if it is absent or damaged they are made and kept there for the next start."""
    try:
        return load_file(path)
    except (OSError, SafetensorError):
        tensors = make()
        whole = {k: v.contiguous() for k, v in tensors.items()}
        write_whole(path, lambda part: save_file(whole, part), private=True)  # a row for each image
        return tensors
