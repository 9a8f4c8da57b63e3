"""Pictures side by side, for people to look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor

from clinical_qkt.core.files import write_whole

PLACE = 84
"""Pixels along each side of a picture on the sheet."""
MARGIN = 110
"""Pixels left of and above the pictures, where rows and columns are named."""
EDGE = 40
"""Pixels right of them: the last column's name leans over."""
DPI = 100


def contact_sheet(path: Path, rows: Mapping[str, Sequence[Tensor]], columns: Sequence[str]) -> None:
    """Write a PNG with a row of pictures a name, all of one size.

    Args:
        rows: for each name as many pictures as there are columns, each ``(1 or 3, width, height)`` as MONAI
            has them, brightness from 0 to 255.
        columns: their names.
    """
    pictures = torch.cat([torch.cat([_upright(p) for p in row], 1) for row in rows.values()])
    wide, high = PLACE * len(columns), PLACE * len(rows)
    width, height = MARGIN + wide + EDGE, MARGIN + high
    figure = Figure((width / DPI, height / DPI), dpi=DPI)
    axis = figure.add_axes((MARGIN / width, 0, wide / width, high / height))
    axis.imshow(
        pictures.numpy(), interpolation="nearest", aspect="auto", extent=(0, len(columns), len(rows), 0)
    )
    axis.set_xticks([i + 0.5 for i in range(len(columns))], columns, fontsize=8, rotation=30, ha="left")
    axis.set_yticks([i + 0.5 for i in range(len(rows))], list(rows), fontsize=8)
    axis.tick_params(length=0, labeltop=True, labelbottom=False)
    for spine in axis.spines.values():
        spine.set_visible(False)
    axis.hlines(range(1, len(rows)), 0, len(columns), colors="white", lw=2)
    axis.vlines(range(1, len(columns)), 0, len(rows), colors="white", lw=2)
    write_whole(path, partial(figure.savefig, format="png", dpi=DPI))


def _upright(picture: Tensor) -> Tensor:
    """``(height, width, 3)`` uint8."""
    return picture.round().clamp(0, 255).to(torch.uint8).permute(2, 1, 0).expand(-1, -1, 3)
