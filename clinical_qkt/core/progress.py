"""Progress bars with images a second, for whoever watches: none in a log file or for a moment's work."""

from __future__ import annotations

from typing import Any

from tqdm import tqdm

FEW = 1000
"""Images that are not worth a bar."""
UNIT = " images"
TRAINING_BAR = "{desc}[{n_fmt}/{total_fmt}] {percentage:3.0f}%|{bar}{postfix} [{remaining}, {rate_fmt}]"
"""The bar of an epoch: ignite's own leaves out how fast it is."""


def bar(total: int, what: str) -> tqdm[Any]:
    """A bar over so many images; what is done is told by ``update``.

    >>> with bar(2, "logits") as told:
    ...     _ = told.update(2)
    """
    return tqdm(total=total, desc=what, unit=UNIT, leave=False, disable=True if total < FEW else None)
