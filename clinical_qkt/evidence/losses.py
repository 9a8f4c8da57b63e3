"""What the classes that a model knew before lost: paired, on the same images before and after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clinical_qkt.evidence import intervals
from clinical_qkt.evidence.evaluation import Forgetting
from clinical_qkt.evidence.intervals import LEVEL, Interval

Array = NDArray[Any]


def lost(
    before: Array, after: Array, labels: Array, retained: Sequence[str], patients: Array | None = None
) -> Forgetting:
    """Recall before minus recall after, by retained class and over them, with paired intervals.

    Args:
        before, after: ``(N,)`` the class that each model names for each test image, as a column.
        labels: ``(N,)`` the true one.
        retained: their names; the columns are their positions.
        patients: ``(N,)`` whose image it is; each image counts for itself if None.

    Returns:
        ``mean`` lets gains make up for losses; for ``mean_loss``, which the rule is about, a class that
        became better counts 0. ``worst`` is the largest loss. What is unknown is None; the overall figures
        are over the classes with test images.

    >>> labels = np.array([0, 0, 0, 0, 1, 1])
    >>> found = lost(labels, np.array([0, 0, 0, 1, 1, 1]), labels, ["cat", "dog"])
    >>> found.per_class, found.mean_loss, found.worst_class
    ({'cat': 0.25, 'dog': 0.0}, 0.125, 'cat')
    """
    classes = [
        _Class(name, before[mine] == c, after[mine] == c, None if patients is None else patients[mine])
        for c, name in enumerate(retained)
        if (mine := labels == c).any()
    ]
    values, ends = {k.name: k.loss() for k in classes}, {k.name: k.interval() for k in classes}
    overall = _over(classes) if classes else _Overall()
    return Forgetting(
        per_class={name: values.get(name) for name in retained},
        per_class_ci95={name: ends.get(name) for name in retained},
        mean=overall.mean,
        mean_ci95=overall.mean_ci95,
        mean_loss=overall.mean_loss,
        mean_loss_ci95=overall.mean_loss_ci95,
        worst=overall.worst,
        worst_class=overall.worst_class,
        worst_ci95=overall.worst_ci95,
    )


@dataclass(frozen=True)
class _Overall:
    """Over all classes; unknown without test images."""

    mean: float | None = None
    mean_ci95: Interval | None = None
    mean_loss: float | None = None
    mean_loss_ci95: Interval | None = None
    worst: float | None = None
    worst_class: str | None = None
    worst_ci95: Interval | None = None


@dataclass(frozen=True)
class _Class:
    """A class's test images, and which of them were right before and are right now."""

    name: str
    before: Array
    after: Array
    patients: Array | None

    def loss(self) -> float:
        return float(self.before.mean() - self.after.mean())

    def interval(self, level: float = LEVEL) -> Interval:
        return intervals.paired(self.before, self.after, self.patients, level)  # type: ignore[return-value]

    def changed(self, worse: bool) -> tuple[float, float]:
        """How many became worse, or better, of how many images, as if these were independent."""
        hits = self.before & ~self.after if worse else self.after & ~self.before
        size = intervals.effective_size(hits, self.patients)
        return float(hits.mean()) * size, size


def _over(classes: Sequence[_Class]) -> _Overall:
    """Over the classes with test images; see ``lost``.

    No loss is larger than the share of images that became worse, nor smaller than losses less gains: these
    two bound the mean of losses that no gain makes up for. The largest upper end holds for whichever class
    truly lost most; the largest lower end would be above it too often, the more classes there are, and is
    taken of wider intervals (Bonferroni).
    """
    values, ends = [k.loss() for k in classes], [k.interval() for k in classes]
    (p, of_p, n), (q, of_q, _) = (_mean_changed([k.changed(way) for k in classes]) for way in (True, False))
    net = intervals.difference(p, q, of_p, of_q, n)
    losses = [max(0.0, v) for v in values]
    apart = intervals.mean(losses, [[0.0, max(0.0, high)] for _, high in ends])[1]
    careful = [k.interval(1 - (1 - LEVEL) / len(classes)) for k in classes]
    worst = max(range(len(classes)), key=lambda i: values[i])
    return _Overall(
        mean=float(np.mean(values)),
        mean_ci95=net,
        mean_loss=float(np.mean(losses)),
        mean_loss_ci95=[max(0.0, net[0]), min(apart, of_p[1])],
        worst=values[worst],
        worst_class=classes[worst].name,
        worst_ci95=[max(low for low, _ in careful), max(high for _, high in ends)],
    )


def _mean_changed(found: Sequence[tuple[float, float]]) -> tuple[float, Interval, float]:
    """The mean share of changed images over the classes, its interval, and on how many images."""
    counts, sizes = [x for x, _ in found], [n for _, n in found]
    share = float(np.mean([x / n for x, n in found]))
    return share, intervals.mean_share(counts, sizes), sum(sizes)
