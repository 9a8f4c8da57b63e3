"""Decision curves: what calling the queried class is worth, against calling it nowhere and everywhere.

Vickers and Elkin (Medical Decision Making 2006). At threshold t a false alarm weighs ``t / (1 - t)`` of a
hit, and net benefit is, with the share found s, the share of false alarms f and the prevalence p::

    s p - f (1 - p) t / (1 - t)

Another prevalence than that of the test images enters by p alone: s and f do not depend on it, and the
probability that the model states is taken as it is, since that is what people will see.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from clinical_qkt.evidence import intervals
from clinical_qkt.evidence.base_rates import BOTH
from clinical_qkt.evidence.intervals import Array, Interval
from clinical_qkt.evidence.parts import NetBenefit, NetBenefitPoint
from clinical_qkt.tasks.single_label import SINGLE_LABEL

THRESHOLDS = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5)
"""Above 0.5 a false alarm would weigh more than a missed image."""


def net_benefit(
    probabilities: Array,
    labels: Array,
    column: int,
    name: str,
    prevalence: float | None = None,
    patients: Array | None = None,
    thresholds: Sequence[float] = THRESHOLDS,
) -> NetBenefit | None:
    """The decision curve of one queried class.

    Args:
        probabilities: ``(N, C)``.
        labels: ``(N,)`` the true columns.
        column, name: of the class.
        prevalence: the site's, a share in ``(0, 1)``; None for that of the test images.
        patients: ``(N,)`` whose image it is; each image counts for itself if None.
        thresholds: in ``(0, 1)``, in rising order.

    Returns:
        None where the class, or all others, have no test image.

    >>> probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.4, 0.6], [0.3, 0.7]])
    >>> curve = net_benefit(probabilities, np.array([0, 0, 0, 1]), 1, "dog", prevalence=0.1, thresholds=[0.5])
    >>> round(curve.points[0].model, 3), round(curve.points[0].call_all, 3)
    (-0.2, -0.8)
    """
    shows = labels == column
    if shows.all() or not shows.any():
        return None
    p = float(shows.mean()) if prevalence is None else prevalence
    score, named = probabilities[:, column], SINGLE_LABEL.decide(probabilities) == column
    points = []
    for t in thresholds:
        weight = t / (1 - t)
        model, ci95 = _worth(score >= t, shows, p, weight, patients)
        as_named, named_ci95 = _worth(named, shows, p, weight, patients)
        points.append(
            NetBenefitPoint(
                threshold=float(t),
                model=model,
                ci95=ci95,
                named=as_named,
                named_ci95=named_ci95,
                call_all=p - (1 - p) * weight,
                call_none=0.0,
            )
        )
    return NetBenefit(
        query=name,
        prevalence=p,
        prevalence_from="test images" if prevalence is None else "site",
        points=points,
    )


def _worth(
    called: Array, shows: Array, p: float, weight: float, patients: Array | None
) -> tuple[float, Interval]:
    """Net benefit, and its interval from the bad ends and the good ends of both shares (Bonferroni)."""

    def of(s: float, f: float) -> float:
        return s * p - f * (1 - p) * weight

    found, alarms = (_ends(called[which], which, patients) for which in (shows, ~shows))
    rates = float(np.mean(called[shows])), float(np.mean(called[~shows]))
    return of(*rates), [of(found[0], alarms[1]), of(found[1], alarms[0])]


def _ends(hits: Array, which: Array, patients: Array | None) -> Interval:
    ends = intervals.share(hits, None if patients is None else patients[which], BOTH)
    assert ends is not None
    return ends
