"""A reference with the class mix of new images.

The test images of a transfer are no sample of daily practice: a rare class has as many as a common one. Among
the images that the model calls a class, those of other classes are then too few or too many, and that alone
makes new images differ from the reference. Its true classes are known, so it can be thinned until they are as
frequent as among the new images.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Whole = NDArray[np.int64]
LEAST_KEPT = 0.1
"""Share of a class's reference images that is kept at least: else the rarest would leave too few of all."""


def estimated_mix(truth: Whole, called: Whole, new_called: Whole, steps: int = 200) -> NDArray[np.float64]:
    """How frequent the true classes are among new images, by what they are called.

    The likeliest mix if the model errs on each class as on the reference: expectation maximisation (Saerens
    et al., Neural Computation 14, 2002) with the reference's confusion matrix.

    Args:
        truth, called: ``(N,)`` of the reference.
        new_called: ``(M,)`` of new images.

    Returns:
        ``(C,)`` shares of the classes 0 to the highest of all; 0 for those that the reference does not show.
    """
    width = int(max(truth.max(), called.max(), new_called.max())) + 1
    table = np.zeros((width, width))
    np.add.at(table, (truth, called), 1)
    shown = table.sum(1) > 0
    likely = (table + 0.1 * shown[:, None]) / np.maximum(table.sum(1, keepdims=True) + 0.1 * width, 1e-12)
    seen = np.bincount(new_called, minlength=width) / len(new_called)
    mix = shown / shown.sum()
    for _ in range(steps):
        expected = np.maximum(mix @ likely, 1e-12)
        mix = mix * (likely @ (seen / expected))
        mix = mix / mix.sum()
    return mix


def thinned(truth: Whole, mix: NDArray[np.float64], rng: np.random.Generator) -> Whole:
    """Positions in the reference, drawn at random, whose classes are as frequent as ``mix`` says."""
    counts = np.bincount(truth, minlength=len(mix))
    ratio = np.divide(mix, counts, out=np.zeros(len(mix)), where=counts > 0)
    wanted = np.maximum(ratio / max(ratio.max(), 1e-12), LEAST_KEPT)
    kept = [
        rng.permutation(np.flatnonzero(truth == c))[: int(np.ceil(share * counts[c]))]
        for c, share in enumerate(wanted)
    ]
    return np.sort(np.concatenate(kept))
