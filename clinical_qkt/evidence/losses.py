"""What the classes that a model knew before lost: paired, on the same images before and after."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clinical_qkt.evidence import intervals
from clinical_qkt.evidence.intervals import LEVEL, Interval

Array = NDArray[Any]


def lost(
    before: Array, after: Array, labels: Array, retained: Sequence[str], patients: Array | None = None
) -> dict[str, Any]:
    """Recall before minus recall after, by retained class and over them, with paired intervals.

    Args:
        before, after: ``(N,)`` the class that each model names for each test image, as a column.
        labels: ``(N,)`` the true one.
        retained: their names; the columns are their positions.
        patients: ``(N,)`` whose image it is; each image counts for itself if None.

    Returns:
        ``{per_class, per_class_ci95, mean, mean_ci95, mean_loss, mean_loss_ci95, worst, worst_class,
        worst_ci95}``. ``mean`` lets gains make up for losses; for ``mean_loss``, which the rule is about, a
        class that became better counts 0. ``worst`` is the largest loss. What is unknown is None; the
        overall figures are over the classes with test images.
    """
    each: dict[str, float | None] = {}
    within: dict[str, Interval | None] = {}
    careful: dict[str, Interval] = {}
    tested = int(sum((labels == c).any() for c in range(len(retained))))
    for c, name in enumerate(retained):
        mine = labels == c
        then, now = before[mine] == c, after[mine] == c
        whose = None if patients is None else patients[mine]
        each[name] = float(then.mean() - now.mean()) if mine.any() else None
        within[name] = intervals.paired(then, now, whose)
        if within[name]:
            careful[name] = intervals.paired(then, now, whose, 1 - (1 - LEVEL) / tested)  # type: ignore[assignment]
    return {"per_class": each, "per_class_ci95": within, **_over(each, within, careful)}


def _over(
    each: dict[str, float | None], within: dict[str, Interval | None], careful: dict[str, Interval]
) -> dict[str, Any]:
    """Over the classes with test images.

    The largest upper end holds for whichever class truly lost most. The largest lower end would be above it
    too often, the more classes there are, so that it is taken of wider intervals (Bonferroni).
    """
    known = {n: v for n, v in each.items() if v is not None}
    if not known:
        keys = ("mean", "mean_ci95", "mean_loss", "mean_loss_ci95", "worst", "worst_class", "worst_ci95")
        return dict.fromkeys(keys)
    values, ends = list(known.values()), [e for e in within.values() if e is not None]
    losses = [max(0.0, v) for v in values]
    worst = max(known, key=lambda n: known[n])
    return {
        "mean": float(np.mean(values)),
        "mean_ci95": intervals.mean(values, ends),
        "mean_loss": float(np.mean(losses)),
        "mean_loss_ci95": intervals.mean(losses, [[max(0.0, low), max(0.0, high)] for low, high in ends]),
        "worst": known[worst],
        "worst_class": worst,
        "worst_ci95": [max(low for low, _ in careful.values()), max(high for _, high in ends)],
    }
