"""Coverage against error: what is left to a person if the model answers only where it is sure enough.

The selective classifier of Geifman and El-Yaniv (NeurIPS 2017, arXiv 1705.08500), with the stated probability
as its confidence.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from clinical_qkt.evidence.counting import among
from clinical_qkt.evidence.intervals import Array
from clinical_qkt.evidence.parts import Abstention, AbstentionPoint
from clinical_qkt.tasks.single_label import SINGLE_LABEL

THRESHOLDS = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)


def abstention(
    probabilities: Array,
    labels: Array,
    query: Sequence[int],
    patients: Array | None = None,
    thresholds: Sequence[float] = THRESHOLDS,
) -> Abstention:
    """What happens on the test images from each stated probability on.

    Args:
        probabilities: ``(N, C)``, each in ``[0, 1]``.
        labels: ``(N,)`` the true columns.
        query: the columns of the queried classes.
        patients: ``(N,)`` whose image it is; each image counts for itself if None.
        thresholds: in ``[0, 1]``, in rising order.

    >>> probabilities = np.array([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7], [0.55, 0.45]])
    >>> found = abstention(probabilities, np.array([0, 1, 1, 0]), query=[1], thresholds=[0.0, 0.65])
    >>> [(p.threshold, p.answered, p.looked_at, p.wrong) for p in found.points]
    [(0.0, 4, 0, 1), (0.65, 2, 2, 0)]
    """
    named, stated = SINGLE_LABEL.decide(probabilities), probabilities.max(1)
    wrong = named != labels
    shows, called = np.isin(labels, query), np.isin(named, query)
    points = []
    for threshold in thresholds:
        answered = stated >= threshold
        errors = among(answered, wrong, patients)
        points.append(
            AbstentionPoint(
                threshold=float(threshold),
                answered=errors.images,
                looked_at=len(labels) - errors.images,
                wrong=errors.count,
                wrong_share=errors.share,
                ci95=errors.ci95,
                missed=among(answered & shows, wrong, patients),
                false_alarms=among(answered & ~shows, called, patients),
            )
        )
    return Abstention(images=len(labels), points=points)
