"""A network's answer to a batch that the device's memory turns out not to hold: part by part.

How many images a network is given at once follows from what is free when a pass begins, see ``batches``.
Where another program takes it meanwhile, or a library more than was reckoned with, it goes on with fewer.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from clinical_qkt.core.errors import memory_is_short


class InParts:
    """Calls a step with a batch; where memory does not suffice with half as many at once from then on, and
    says so.

    What was computed of a batch stays. For steps that see each image by itself, without gradients; figures
    may differ in their last bits. Not for a patient's batch of a private response, whose size follows from
    that patient alone, see ``query.patient_batches``.

    Args:
        step: from ``(B, …)`` to a tensor, or to tensors in tuples, lists or dicts, each with B rows.
        what: the step does it, for the person.
        most: images at once; all that are given by default.

    >>> InParts(lambda images: images.sum(1), "sums", most=2)(torch.ones(3, 4))
    tensor([4., 4., 4.])
    """

    def __init__(self, step: Callable[[Tensor], Any], what: str, most: int | None = None) -> None:
        self.step, self.what, self.most = step, what, most

    def __call__(self, images: Tensor) -> Any:
        """What the step gives for all images.

        Raises:
            RuntimeError: PyTorch's own, of a device that does not hold what a single image takes.
        """
        found: list[Any] = []
        while len(images) or not found:
            size = min(self.most or len(images), len(images))
            if self._holds(images[:size], found):
                images = images[size:]
            else:
                self._halve(size, images.device)
        return found[0] if len(found) == 1 else tree_map(lambda *parts: torch.cat(parts), *found)

    def _holds(self, images: Tensor, found: list[Any]) -> bool:
        """Whether the step could be done; an error that is held keeps all that was made before it."""
        try:
            found.append(self.step(images))
        except Exception as e:
            if len(images) <= 1 or not memory_is_short(e):
                raise
            return False
        return True

    def _halve(self, size: int, device: torch.device) -> None:
        self.most = (size + 1) // 2
        told = f"{self.what}: the memory does not suffice for {size} images at once"
        print(f"warning: {told}; going on with {self.most}", file=sys.stderr)
        if device.type == "cuda":
            torch.cuda.empty_cache()
