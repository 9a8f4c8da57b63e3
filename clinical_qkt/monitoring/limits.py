"""Control limits of counts, exact: no normal approximation, which fails where counts are small."""

from __future__ import annotations

import numpy as np
from scipy.stats import binom, hypergeom

from clinical_qkt.evidence.intervals import proportion


def against_counts(before: int, of: int, images: int, level: float) -> tuple[int, int]:
    """The least and the largest count that is no alarm, by what was counted before.

    Fisher's exact test at ``level`` in all, half of it on each side: it knows that what was counted before is
    a sample, too. A control chart of shares (p-chart) with exact limits.

    Args:
        before, of: counted of how many.
        images: of the new ones.

    >>> against_counts(50, 500, 100, 0.01)
    (3, 20)
    """
    counts = np.arange(images + 1)
    low = hypergeom.cdf(counts, of + images, before + counts, images) > level / 2
    high = hypergeom.sf(counts - 1, of + images, before + counts, images) > level / 2
    return int(counts[low].min()), int(counts[high].max())


def most_against(before: int, of: int, images: int, level: float) -> int:
    """The largest count that is no alarm where only a rise is one."""
    counts = np.arange(images + 1)
    return int(counts[hypergeom.sf(counts - 1, of + images, before + counts, images) > level].max())


def against_prevalence(
    prevalence: float, found: tuple[int, int], false: tuple[int, int], images: int, level: float
) -> tuple[int, int]:
    """The same by how frequent a class is said to be, and by what the model did on test images.

    A class is called where it is found, and by false alarms. Half of the level goes to the limits of these
    two shares, a quarter to each side of the count.

    Args:
        prevalence: share of images that show the class.
        found: test images of the class that were called so, and how many there were.
        false: the same of test images of other classes.
    """
    recall, alarms = (proportion(*pair, level=1 - level / 4) or [0.0, 1.0] for pair in (found, false))
    low, high = (prevalence * recall[end] + (1 - prevalence) * alarms[end] for end in (0, 1))
    return int(binom.ppf(level / 4, images, low)), int(binom.isf(level / 4, images, high))
