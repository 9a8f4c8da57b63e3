"""Of so many images, so many: counts with their exact interval, as the evidence's parts hold them."""

from __future__ import annotations

import numpy as np

from clinical_qkt.evidence import intervals
from clinical_qkt.evidence.intervals import Array
from clinical_qkt.evidence.parts import Counted, Difference


def counted(hits: Array, patients: Array | None = None) -> Counted:
    """How many images are hits.

    Args:
        hits: ``(n,)`` booleans, an image each.
        patients: ``(n,)`` whose image it is; each image counts for itself if None.

    >>> one = counted(np.array([True] * 9 + [False]))
    >>> one.count, one.images, one.share, [round(end, 3) for end in one.ci95]
    (9, 10, 0.9, [0.555, 0.997])
    """
    n, count = len(hits), int(np.sum(hits))
    return Counted(
        count=count, images=n, share=count / n if n else None, ci95=intervals.share(hits, patients)
    )


def among(which: Array, hits: Array, patients: Array | None = None) -> Counted:
    """``counted`` of some of the images.

    Args:
        which, hits: ``(N,)`` booleans.
        patients: ``(N,)``, or None.

    >>> one = among(np.array([True, True, False]), np.array([True, False, True]))
    >>> one.count, one.images
    (1, 2)
    """
    return counted(hits[which], None if patients is None else patients[which])


def difference(new: Array, old: Array, patients: Array | None = None) -> Difference:
    """The share of the new model minus that of the old one, with its paired interval.

    Args:
        new, old: ``(n,)`` booleans of the same images.
        patients: as for ``counted``.

    >>> new, old = np.arange(20) < 18, np.arange(20) < 12
    >>> one = difference(new, old)
    >>> round(one.share, 2), [round(end, 2) for end in one.ci95], one.images
    (0.3, [0.03, 0.54], 20)
    """
    n = len(new)
    share = (int(np.sum(new)) - int(np.sum(old))) / n if n else None
    return Difference(share=share, ci95=intervals.paired(new, old, patients), images=n)
