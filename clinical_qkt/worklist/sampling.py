"""Which images are drawn for a person to label, with probabilities that are known.

The archive is cut by what the model says of its images, see ``strata``; each stratum is put in order and cut
into cells of neighbours, and of each cell one image is drawn. So images whose predicted probabilities are
alike are not drawn twice while others are not drawn at all: the coverage of the probability space that
PCoreSet (Lee et al., arXiv 2506.00910) aims at, but with a known probability of each image to be drawn, which
its greedy choice has not and unbiased figures need.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clinical_qkt.tasks.single_label import SINGLE_LABEL

Array = NDArray[Any]
CALLED, NEAR = 0.15, 0.3
"""Shares of the labels for images that are called a queried class, and of the rest for those next to them."""
STEP = 3
"""How many times as many images each answer stands for, from one stratum to the next."""


@dataclass(frozen=True)
class Stratum:
    """A part of the archive, in cells: of each the same number of images is drawn, all alike likely.

    Attributes:
        called: the queried class that all of its images are called, as a column; None for no queried class.
        cells: positions in the archive, a list a cell.
        each: how many images are drawn of a cell.
    """

    called: int | None
    cells: Sequence[Array]
    each: int = 1

    @property
    def size(self) -> int:
        """Images of the archive."""
        return sum(map(len, self.cells))

    @property
    def labels(self) -> int:
        """Images that are drawn."""
        return self.each * len(self.cells)


def strata(probabilities: Array, queried: Sequence[int], count: int) -> list[Stratum]:
    """Cut an archive into strata with ``count`` cells in all.

    Images that are called a queried class are one stratum a class. The rest, in order of the probability of
    the queried classes, is cut into strata of the same number of cells, whose cells are 1, 3, 9, … images
    large, and a last one of everything else. What the probabilities are worth does not matter, only their
    order: a model's mistakes may be anywhere, so the last stratum gets the most labels.

    Args:
        probabilities: ``(N, C)`` of the archive's images.
        queried: columns.
        count: of labels; all images are drawn if there are no more.

    Returns:
        Strata that hold each image once.
    """
    named = SINGLE_LABEL.decide(probabilities)
    groups = [np.flatnonzero(named == column) for column in queried]
    rest = np.flatnonzero(~np.isin(named, queried))
    count = min(count, len(probabilities))
    shares = _called_labels([len(g) for g in groups], len(rest), count)
    found = [
        Stratum(column, [group], labels)
        for column, group, labels in zip(queried, groups, shares, strict=True)
        if labels
    ]
    by_score = rest[np.argsort(-probabilities[rest][:, list(queried)].max(1), kind="stable")]
    for images, labels in _below(by_score, count - sum(shares)):
        path = _in_order(images, probabilities, queried)
        found.append(Stratum(None, np.array_split(path, labels)))
    return found


def drawn(stratum: Stratum, rng: np.random.Generator) -> tuple[Array, Array]:
    """The images of a stratum that are to be labelled.

    Returns:
        Their positions in the archive, and for how many images each stands: 1 divided by its probability to
        be drawn.
    """
    sizes = np.array([len(cell) for cell in stratum.cells])
    if stratum.each == 1:
        starts = np.cumsum(sizes) - sizes
        chosen = np.concatenate(stratum.cells)[starts + rng.integers(sizes)]
    else:
        chosen = np.concatenate([rng.choice(cell, stratum.each, replace=False) for cell in stratum.cells])
    return chosen, np.repeat(sizes / stratum.each, stratum.each)


def _called_labels(sizes: Sequence[int], rest: int, count: int) -> list[int]:
    """How many labels go to the images that are called each queried class, in proportion to their numbers.

    At least one each, and what the rest cannot use.
    """
    wanted, total = max(round(CALLED * count), count - rest), sum(sizes)
    if wanted >= total:
        return list(sizes)
    ends = np.round(np.cumsum([0, *sizes]) * wanted / total)
    shares = np.maximum(np.diff(ends), np.minimum(sizes, 1))
    return [int(share) for share in shares]


def _below(images: Array, count: int) -> Iterator[tuple[Array, int]]:
    """Parts of the images that no queried class is called, best first, with their numbers of labels."""
    steps = 1
    while STEP**steps * (1 - NEAR) * count < len(images):
        steps += 1
    each = round(NEAR * count / steps)
    for step in range(steps):
        width = each * STEP**step
        if not 0 < each < count <= len(images) - width + each:
            break
        yield images[:width], each
        images, count = images[width:], count - each
    if len(images):
        yield images, count


def _in_order(images: Array, probabilities: Array, queried: Sequence[int]) -> Array:
    """Images along a path through the predicted probabilities: by the class that they are called, and to and
    fro by the probability of the queried classes."""
    named = SINGLE_LABEL.decide(probabilities[images])
    score = probabilities[images][:, list(queried)].max(1)
    return images[np.lexsort((np.where(named % 2, score, -score), named))]
