"""Training images by the batch: on the device, changed at random, and with all that rides along."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from monai.data import Dataset
from monai.transforms import Compose
from torch import Tensor
from torch.utils.data import default_collate

from clinical_qkt.core.batches import held
from clinical_qkt.core.runtime import laid_out, sent, stacked
from clinical_qkt.data import batchwise

AT_ONCE = 256
"""Images that are brought to a GPU together, before the first step."""


class Augmented(Dataset):
    """Images that a loader takes by the batch, see ``whole``.

    A GPU keeps all of them, and all numbers that ride along, where they fit: then nothing is copied in a step
    but which images are next, and how each is turned.

    Args:
        items: ``{"image": tensor, …}``; numbers and tensors beside it ride along.
        augment: MONAI transforms of the image; random symmetries are made of a batch at once.
        device: where the network is trained.
    """

    def __init__(self, items: Sequence[dict[str, Any]], augment: Sequence[Any], device: torch.device) -> None:
        super().__init__(items, Compose(list(augment)))
        self.device, self.batchwise = device, batchwise.known(augment)
        self.kept: dict[str, Tensor] = {}
        if len(items) and self.batchwise and held(len(items), items[0]["image"].shape, device):
            self.kept = _kept(items, device)

    def __getitems__(self, indices: list[int]) -> dict[str, Any]:
        """The images at these places, and what rides along."""
        if not self.batchwise:
            batch = _batch([self[i] for i in indices], self.device)
        elif self.kept:
            places = sent(indices, self.device)
            batch = {name: values.index_select(0, places) for name, values in self.kept.items()}
        else:
            batch = _batch([self.data[i] for i in indices], self.device)
        if self.batchwise:
            batch["image"] = batchwise.changed(batch["image"], self.transform.transforms)
        return {**batch, "image": laid_out(batch["image"])}


def whole(batch: dict[str, Any]) -> dict[str, Any]:
    """For a loader that need not put together what comes together."""
    return batch


def _batch(items: Sequence[dict[str, Any]], device: torch.device) -> dict[str, Any]:
    """Items as one: the images on the device, the numbers beside them where they are."""
    images = stacked([torch.as_tensor(item["image"]) for item in items], device)
    rest = default_collate([{k: v for k, v in item.items() if k != "image"} for item in items])
    return {"image": images, **rest}


def _kept(items: Sequence[dict[str, Any]], device: torch.device) -> dict[str, Tensor]:
    """All items as one, on the device; what is no number is left out, since no loss could use it."""
    kept: dict[str, Tensor] = {}
    for start in range(0, len(items), AT_ONCE):
        rows = [items[i] for i in range(start, min(start + AT_ONCE, len(items)))]
        for name, values in _batch(rows, device).items():
            if isinstance(values, Tensor):
                if name not in kept:
                    shape = (len(items), *values.shape[1:])
                    kept[name] = torch.empty(shape, dtype=values.dtype, device=device)
                kept[name][start : start + len(rows)].copy_(values, non_blocking=True)
    return kept
