"""Tensors that took long to compute, on disk for the next start or the next run."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from clinical_qkt.core.files import digest_of, private_folder, write_whole

OF = "made_of"
"""In a file's header: the digest of all that decides its tensors."""


def cached(path: Path, make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    """Tensors from a file; if it is absent or damaged they are made and kept there for the next start."""
    try:
        return load_file(path)
    except (OSError, SafetensorError):
        tensors = make()
        whole = {k: v.contiguous() for k, v in tensors.items()}
        write_whole(path, lambda part: save_file(whole, part), private=True)  # a row for each image
        return tensors


def remembered(
    folder: Path, facts: str, make: Callable[[], Tensor], fits: Callable[[Tensor], bool] | None = None
) -> Tensor:
    """A tensor that an earlier run computed of the very same; else it is made, and kept for the next.

    What is damaged, of something else or of another form is made again. A disk that takes nothing is told
    and is no error: nothing is lost but time.

    Args:
        folder: for its owner alone.
        facts: all that decides the tensor, as text.
        fits: whether what was read can be it.
    """
    of = digest_of(facts)
    path = folder / f"{of[:32]}.safetensors"
    found = _read(path, of)
    if found is not None and (fits is None or fits(found)):
        path.touch()
        return found
    made = make()
    try:
        private_folder(folder)
        whole = {OF: made.contiguous()}
        write_whole(path, lambda part: save_file(whole, part, {OF: of}), private=True)
    except (OSError, SafetensorError) as e:
        print(f"note: {folder} takes nothing for the next run ({type(e).__name__})", file=sys.stderr)
    return made


def _read(path: Path, of: str) -> Tensor | None:
    try:
        with safe_open(path, framework="pt") as file:
            same = (file.metadata() or {}).get(OF) == of
            return file.get_tensor(OF) if same else None
    except (OSError, SafetensorError):
        return None


def digest_of_tensors(tensors: Mapping[str, Tensor]) -> str:
    """The SHA-256 of tensors with their names, types and shapes, as hexadecimal digits; on any device.

    >>> one, two = torch.zeros(2), torch.zeros(1, 2)
    >>> digest_of_tensors({"a": one}) == digest_of_tensors({"a": two})
    False
    """
    found = hashlib.sha256()
    for name in sorted(tensors):
        value = tensors[name].detach().cpu().contiguous()
        found.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        found.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def drop_oldest(folder: Path, most: int) -> None:
    """Remove what was used longest ago of what is remembered there, beyond ``most`` bytes."""
    files = sorted(folder.glob("*.safetensors"), key=lambda p: p.stat().st_mtime, reverse=True)
    total = 0
    for file in files:
        total += file.stat().st_size
        if total > most:
            file.unlink(missing_ok=True)
