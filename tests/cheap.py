"""What stands in for the dearest parts of a transfer in every process of the tests.

Fewer probes and fewer varied images, since coloured squares are easily told; an empty MLflow database that is
copied; and no drawing: a report's figures are tiny and empty. Whoever looks at figures asks for the fixture
``real_figures``; the demo that the tests share has real ones, too. What a network needs in memory is guessed:
whoever looks at that asks for ``real_footprints``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from matplotlib.figure import Figure

from clinical_qkt.core.footprint import Footprint
from clinical_qkt.data import probes
from clinical_qkt.qkt import knowledge_masks
from clinical_qkt.query import axes
from clinical_qkt.review.report import figures
from tests import empty_database

__all__ = ["empty_database", "really_drawn"]

PROBES = 256
"""Instead of 2,048."""
draw = figures._draw
tried = Footprint._tried
FLOATS = 8
"""Numbers of an image that are alive at once, for each that it has."""


def few(count: int, *how: Any, **options: Any) -> Any:
    """What stands in for ``probes.probes``."""
    return probes.probes(min(count, PROBES), *how, **options)


def guessed(footprint: Footprint, images: int) -> int:
    """What stands in for ``Footprint._tried``."""
    alive = FLOATS * images * math.prod(footprint.shape)
    return tried(footprint, images) if footprint.training else 4 * alive


def empty(name: str, summary: Any) -> Figure:
    """What stands in for the drawing of a figure."""
    return Figure(figsize=(0.1, 0.1))


@contextmanager
def really_drawn() -> Iterator[None]:
    """Figures are drawn as they are for people."""
    figures._draw = draw
    try:
        yield
    finally:
        figures._draw = empty


Footprint._tried = guessed  # type: ignore[method-assign]
axes.SHOWN = 3
knowledge_masks.probes = few
figures._draw = empty
