"""What is found batch by batch, for each of many images, in one tensor."""

from __future__ import annotations

import torch
from torch import Tensor

FEW = 4096
"""Rows to begin with where nobody knows how many there will be."""


class Rows:
    """What is found batch by batch, in one tensor from the first on.

    Many small tensors that stay, between large ones that go, would scatter the memory: a place that an image
    left is then a little too small for the next one. At 400 pixels a pass grew by 0.2 to 1.8 MB an image, of
    which a few hundred bytes were kept.

    Args:
        count: of all rows; with more of them it is copied into twice as much room.

    >>> rows = Rows(3)
    >>> rows.add(torch.ones(2, 2))
    >>> rows.add(torch.zeros(1, 2))
    >>> rows.all().tolist()
    [[1.0, 1.0], [1.0, 1.0], [0.0, 0.0]]
    """

    def __init__(self, count: int = FEW) -> None:
        self.count, self.filled, self.rows = count, 0, torch.empty(0)

    def add(self, batch: Tensor) -> None:
        """The next ones, ``(B, …)``: all of one shape and type, on one device."""
        if not self.filled:
            self.rows = batch.new_empty(max(self.count, len(batch)), *batch.shape[1:])
        end = self.filled + len(batch)
        while end > len(self.rows):
            self.rows = torch.cat([self.rows, torch.empty_like(self.rows)])
        self.rows[self.filled : end] = batch
        self.filled = end

    def all(self) -> Tensor:
        """``(N, …)`` on the CPU; ``(0,)`` if nothing was added."""
        return self.rows[: self.filled].cpu()
