"""How large cells appear in the pictures of two laboratories, and the factor that makes them alike.

    python -m clinical_qkt.research.benchmark.cell_sizes FOLDER OTHER

prints, for each class that both folders have, the median diameter of the nucleus (of the cell, where it is
stained as darkly) as a share of the picture's side, and the factor by which OTHER's pictures have to be
magnified: the geometric mean over classes, so that each counts alike. A scenario's ``other_site`` takes it as
``magnified``.

A picture's green values fall into three tones (k-means); what is darkest and lies at the centre is the
nucleus.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from scipy import ndimage
from sklearn.cluster import KMeans

from clinical_qkt.core.exit_codes import exit_codes
from clinical_qkt.research.benchmark.real_sites import common_classes, pictures_of

SIDE = 56
"""Pixels along each side at which cells are outlined."""
BLACK = 8
"""Green values below are no image: a crop that reached over the original's edge."""
FEWEST = 20
"""Pixels; smaller outlines are no nucleus."""


def diameter(picture: NDArray[np.uint8]) -> float | None:
    """The nucleus's diameter, of a circle of its area, as a share of the picture's side.

    Args:
        picture: ``(side, side, 3)``.

    Returns:
        None if nothing dark lies at the centre.
    """
    green = picture[..., 1].astype(float)
    seen = green >= BLACK
    tones = ndimage.gaussian_filter(green, 1)
    if len(np.unique(tones[seen])) < 3:
        return None
    found = KMeans(3, n_init=2, random_state=0).fit(tones[seen][:, None])
    dark = np.zeros(green.shape, dtype=bool)
    dark[seen] = found.labels_ == int(np.argmin(found.cluster_centers_))
    area = _central(ndimage.binary_opening(dark, iterations=2)).sum()
    return None if area < FEWEST else float(2 * np.sqrt(area / np.pi) / len(green))


def _central(dark: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The connected part that has most of the centre, without holes; empty if none has any."""
    parts, _ = ndimage.label(dark)
    rows, columns = np.mgrid[: len(dark), : len(dark)] - (len(dark) - 1) / 2
    counts = np.bincount(parts[np.hypot(rows, columns) < 0.2 * len(dark)], minlength=2)
    counts[0] = 0
    if not counts.any():
        return np.zeros_like(dark)
    return np.asarray(ndimage.binary_fill_holes(parts == int(np.argmax(counts))))


def median_diameter(pictures: Sequence[Path]) -> float:
    """Of one class's pictures, as a share of their side."""
    found = []
    for path in pictures:
        with Image.open(path) as opened:
            small = opened.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BOX)
        found.append(diameter(np.asarray(small)))
    return float(np.median([d for d in found if d is not None]))


def main(
    folder: Annotated[Path, typer.Argument(help="With a sub-folder of pictures a class.")],
    other: Annotated[Path, typer.Argument(help="Likewise, of another laboratory.")],
) -> None:
    """Print the sizes of cells in two folders, and by what factor the second is to be magnified."""
    console, ratios = Console(), []
    for name in common_classes(folder, other):
        here, there = (median_diameter(pictures_of(place, name)) for place in (folder, other))
        ratios.append(here / there)
        told: Any = f"{name}: {here:.3f} and {there:.3f} of the side, factor {ratios[-1]:.2f}"
        console.print(told, markup=False, highlight=False)
    console.print(f"magnified: {np.exp(np.mean(np.log(ratios))):.2f}", markup=False, highlight=False)


if __name__ == "__main__":
    exit_codes(lambda: typer.run(main))
