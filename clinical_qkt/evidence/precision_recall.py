"""Precision against recall of the queried class, at the test images' prevalence or at the site's."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy.special import expit, logit
from scipy.stats import norm
from sklearn.metrics import precision_recall_curve

from clinical_qkt.evidence import intervals
from clinical_qkt.evidence.base_rates import BOTH
from clinical_qkt.evidence.intervals import Array, Interval
from clinical_qkt.evidence.parts import PrecisionRecall

POINTS = 100
"""Of the curve, at most."""
DRAWS = 500


def precision_recall(
    probabilities: Array,
    labels: Array,
    column: int,
    name: str,
    prevalence: float | None = None,
    patients: Array | None = None,
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> PrecisionRecall | None:
    """The curve of one queried class, and the area below it as average precision.

    A bootstrap alone is blind where everything is right, and to false alarms that did not happen to be among
    few test images, which at a low prevalence decide. Its lower end is therefore held against that of the
    logit interval (Boyd, Eng and Page, ECML 2013) and against the average precision with every share of false
    alarms at its exact upper end; the lowest counts.

    Args:
        probabilities: ``(N, C)``.
        labels: ``(N,)`` the true columns.
        column, name: of the class.
        prevalence: the site's, a share in ``(0, 1)``; None for that of the test images.
        patients: ``(N,)`` whose image it is; each image counts for itself if None.
        draws, seed: of the bootstrap.

    Returns:
        None where the class, or all others, have no test image.

    >>> probabilities = np.array([[0.9, 0.1], [0.4, 0.6], [0.6, 0.4], [0.2, 0.8]])
    >>> curve = precision_recall(probabilities, np.array([0, 0, 1, 1]), 1, "dog", draws=50)
    >>> round(curve.average_precision, 3), curve.prevalence, [round(end, 2) for end in curve.ci95]
    (0.833, 0.5, [0.11, 1.0])
    """
    shows, score = labels == column, probabilities[:, column]
    if shows.all() or not shows.any():
        return None
    p = float(shows.mean()) if prevalence is None else prevalence
    precision, recall, _ = precision_recall_curve(
        shows, score, sample_weight=_weights(shows, p), drop_intermediate=True
    )
    kept = np.unique(np.linspace(0, len(recall) - 1, POINTS).round().astype(int))

    area = _area_of(shows, score)

    def of_draw(drawn: Array) -> float:
        if not drawn[shows].any() or not drawn[~shows].any():
            return math.nan
        return area(_weights(shows, p, drawn))

    found = area(_weights(shows, p))
    low, high = intervals.resampled(of_draw, len(labels), patients, draws=draws, seed=seed)
    ends = _logit(found, _units(shows, patients)), [_with_more_alarms(shows, score, p, patients), 0.0]
    return PrecisionRecall(
        query=name,
        prevalence=p,
        prevalence_from="test images" if prevalence is None else "site",
        recall=[float(r) for r in recall[kept].clip(0, 1)],
        precision=[float(v) for v in precision[kept].clip(0, 1)],
        average_precision=found,
        ci95=[min(low, found, *(e[0] for e in ends)), max(high, found, *(e[1] for e in ends))],
    )


def _weights(shows: Array, p: float, drawn: Array | None = None) -> Array:
    """Of each image, so that the class has the prevalence ``p``."""
    drawn = np.ones(len(shows)) if drawn is None else drawn.astype(float)
    mine, others = drawn[shows].sum(), drawn[~shows].sum()
    weights: Array = drawn * np.where(shows, p / mine, (1 - p) / others)
    return weights


def _area_of(shows: Array, score: Array) -> Callable[[Array], float]:
    """From the images' weights to ``sklearn.metrics.average_precision_score``, sorted once for all draws."""
    order = np.argsort(-score, kind="stable")
    last = np.flatnonzero(np.append(np.diff(score[order]) != 0, True))
    mine = shows[order]

    def area(weights: Array) -> float:
        weights = weights[order]
        hits, called = np.cumsum(weights * mine)[last], np.cumsum(weights)[last]
        precision = np.divide(hits, called, out=np.zeros_like(hits), where=called > 0)
        return float(np.clip(np.sum(np.diff(hits, prepend=0.0) / hits[-1] * precision), 0, 1))

    return area


def _units(shows: Array, patients: Array | None) -> int:
    return int(shows.sum()) if patients is None else len(np.unique(patients[shows]))


def _logit(area: float, n: int) -> Interval:
    """Boyd's interval, half an image away from 0 and 1, where it has no width."""
    area = min(max(area, 0.5 / n), 1 - 0.5 / n)
    middle, reach = logit(area), norm.ppf(0.975) / math.sqrt(n * area * (1 - area))
    return [float(expit(middle - reach)), float(expit(middle + reach))]


def _with_more_alarms(shows: Array, score: Array, p: float, patients: Array | None) -> float:
    """Average precision if at each threshold the share of false alarms were at its upper end."""
    whose = None if patients is None else patients[~shows]
    at = np.unique(score[shows])[::-1]
    found = np.array([(score[shows] >= t).mean() for t in at])
    ends = (intervals.share(score[~shows] >= t, whose, BOTH) for t in at)
    alarms = np.array([e[1] if e else 1.0 for e in ends])
    precision = found * p / (found * p + alarms * (1 - p))
    return float(np.sum(np.diff(found, prepend=0.0) * precision))
