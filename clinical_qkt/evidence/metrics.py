"""Per-class, query and forgetting metrics: pure functions over predictions.

Definitions, since people argue about them:

* recall of class c: of the test images of c, the share that the model calls c;
* query recall / retained recall: the unweighted mean of the recalls of the queried / the retained classes;
* calibration error: the model's probability for the class that it names, against how often it is right, in
  ten bins of probability, averaged by their numbers of images (expected calibration error, Guo et al., 2017);
* false-alarm rate: of the test images of other classes, the share that is called a queried class;
* forgetting of class c: recall right before the transfer minus recall after it, on the same test images;
  mean and worst over the retained classes. Negative means that the class got better.

Shares are in ``[0, 1]``; points, in reports and budgets, are shares times 100.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_fscore_support, roc_auc_score

from clinical_qkt.evidence import calibration_error, intervals
from clinical_qkt.evidence.evaluation import Agreement, Alarms, Bin, Calibration, FalseAlarms, Row, Threshold
from clinical_qkt.tasks.single_label import SINGLE_LABEL

Array = NDArray[Any]
FEW = 20
"""Below this number of test images of a class, whatever is measured on them says little."""
BINS = 10
THRESHOLDS = tuple(t / 20 for t in range(1, 20))


def per_class(
    probabilities: Array, labels: Array, names: Sequence[str], patients: Array | None = None
) -> dict[str, Row]:
    """What a model does on each class.

    Args:
        probabilities: ``(N, C)``, columns in the order of ``names``.
        labels: ``(N,)``, positions in ``names``.
        names: the label space.
        patients: ``(N,)`` whose image it is; None if nobody is named.

    Returns:
        By class. What cannot be known (no test image of a class, or nothing but that class) is None, never 0.

    >>> probabilities = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]])
    >>> rows = per_class(probabilities, np.array([0, 0, 1]), ["cat", "dog"])
    >>> [(name, row.recall, row.precision, row.support) for name, row in rows.items()]
    [('cat', 0.5, 1.0, 2), ('dog', 1.0, 0.5, 1)]
    """
    if not len(labels):
        unknown = Row(recall=None, recall_ci95=None, precision=None, f1=None, auroc=None, support=0)
        return dict.fromkeys(names, unknown)
    predicted = SINGLE_LABEL.decide(probabilities)
    positions = list(range(len(names)))
    precision, recall, f1, support = precision_recall_fscore_support(
        labels, predicted, labels=positions, average=None, zero_division=np.nan
    )
    rows = {}
    for c, name in enumerate(names):
        seen, mine = int(support[c]), labels == c
        rows[name] = Row(
            recall=_known(recall[c]) if seen else None,
            recall_ci95=intervals.share(predicted[mine] == c, _of(patients, mine)),
            precision=_known(precision[c]),
            f1=_known(f1[c]) if seen else None,
            auroc=float(roc_auc_score(mine, probabilities[:, c])) if 0 < seen < len(labels) else None,
            support=seen,
            patients=None if patients is None else len(np.unique(patients[mine])),
        )
    return rows


def false_alarms(
    probabilities: Array,
    labels: Array,
    names: Sequence[str],
    query: Sequence[int],
    patients: Array | None = None,
) -> FalseAlarms:
    """How often images of other classes are called a queried one.

    Args:
        probabilities, labels, names, patients: as for ``per_class``.
        query: the columns of the queried classes.

    Returns:
        Of images of the retained classes, how many are called any queried class; and by queried class, of all
        images that are not of it, how many are called so. Share and interval are None without such images.

    >>> probabilities = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]])
    >>> told = false_alarms(probabilities, np.array([0, 0, 1]), ["cat", "dog"], query=[1]).overall
    >>> told.count, told.images, told.share
    (1, 2, 0.5)
    """
    called = SINGLE_LABEL.decide(probabilities) if len(labels) else np.zeros(0, int)
    asked = list(query)

    def counted(others: Array, hits: Array) -> Alarms:
        n, seen = int(others.sum()), hits[others]
        return Alarms(
            count=int(seen.sum()),
            images=n,
            patients=None if patients is None else len(np.unique(patients[others])),
            share=float(seen.mean()) if n else None,
            ci95=intervals.share(seen, _of(patients, others)),
        )

    return FalseAlarms(
        overall=counted(~np.isin(labels, asked), np.isin(called, asked)),
        per_class={names[q]: counted(labels != q, called == q) for q in asked},
    )


def confusion(probabilities: Array, labels: Array, classes: int) -> Array:
    """``(C, C)`` counts: rows are the true classes, columns the predicted ones.

    >>> confusion(np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]]), np.array([0, 0, 1]), classes=2).tolist()
    [[1, 1], [0, 1]]
    """
    if not len(labels):
        return np.zeros((classes, classes), dtype=int)
    return SINGLE_LABEL.counts(labels, SINGLE_LABEL.decide(probabilities), classes)


def macro_recall(rows: Mapping[str, Row], names: Sequence[str]) -> float | None:
    """Unweighted mean recall over the named classes; None if one of them is unknown.

    >>> probabilities = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]])
    >>> macro_recall(per_class(probabilities, np.array([0, 0, 1]), ["cat", "dog"]), ["cat", "dog"])
    0.75
    """
    values = [rows[n].recall if n in rows else None for n in names]
    return None if not values or any(v is None for v in values) else float(np.mean(values))  # type: ignore[arg-type]


def macro_interval(rows: Mapping[str, Row], names: Sequence[str]) -> list[float] | None:
    """The interval of ``macro_recall``; None if the recall of one of the classes is unknown.

    >>> labels = np.array([0] * 20 + [1] * 20)
    >>> rows = per_class(np.eye(2)[labels], labels, ["cat", "dog"])
    >>> [round(end, 3) for end in macro_interval(rows, ["cat", "dog"])]
    [0.881, 1.0]
    """
    known = [(rows[n].recall, rows[n].recall_ci95) for n in names if n in rows]
    recalls, ends = [r for r, _ in known if r is not None], [e for _, e in known if e is not None]
    return intervals.mean(recalls, ends) if names and len(recalls) == len(ends) == len(names) else None


def calibration(probabilities: Array, labels: Array, patients: Array | None = None) -> Calibration:
    """How far the probability that the model states can be believed.

    Args:
        probabilities: ``(N, C)``.
        labels: ``(N,)``.
        patients: as for ``per_class``.

    Returns:
        The expected calibration error as a share, and its interval, see ``evidence.calibration_error``; None
        without images. For each of ten bins of the highest probability its mean and the share of right
        answers, None where the bin is empty.

    >>> found = calibration(np.array([[0.9, 0.1], [0.9, 0.1]]), np.array([0, 1]))  # 90 % sure, half right
    >>> round(found.error, 3), [b.images for b in found.bins]
    (0.4, [0, 0, 0, 0, 0, 0, 0, 0, 0, 2])
    """
    if not len(labels):
        return Calibration(error=None, ci95=None, images=0, bins=[])
    stated, right = probabilities.max(1), SINGLE_LABEL.decide(probabilities) == labels
    which = np.minimum((stated * BINS).astype(int), BINS - 1)
    bins, error = [], 0.0
    for b in range(BINS):
        mine = which == b
        n = int(mine.sum())
        says, is_right = (float(stated[mine].mean()), float(right[mine].mean())) if n else (None, None)
        bins.append(Bin(low=b / BINS, high=(b + 1) / BINS, images=n, stated=says, right=is_right))
        error += abs(says - is_right) * n / len(labels) if says is not None and is_right is not None else 0
    within = calibration_error.within(stated, right, which, patients)
    return Calibration(error=error, ci95=within, images=len(labels), bins=bins)


def thresholds(
    probabilities: Array, labels: Array, column: int, *, points: Sequence[float] = THRESHOLDS
) -> list[Threshold]:
    """How one class would be found if the model named it from a probability on, whatever else it thinks.

    Args:
        probabilities: ``(N, C)``.
        labels: ``(N,)``.
        column: of the class.
        points: the thresholds.

    Returns:
        For each the share of the class's images, and of all other images, that reach it; None where there are
        none.

    >>> probabilities, labels = np.array([[0.9, 0.1], [0.4, 0.6], [0.7, 0.3]]), np.array([0, 1, 1])
    >>> found = thresholds(probabilities, labels, column=1, points=[0.2, 0.5])
    >>> [(t.recognised, t.false_alarms) for t in found]
    [(1.0, 0.0), (0.5, 0.0)]
    """
    mine, score = labels == column, probabilities[:, column]

    def share(of: Array, threshold: float) -> float | None:
        return float((score[of] >= threshold).mean()) if of.any() else None

    return [
        Threshold(
            threshold=float(t),
            recognised=share(mine, t),
            false_alarms=share(~mine, t),
            images=int(mine.sum()),
            others=int((~mine).sum()),
        )
        for t in points
    ]


def agreement(mine: Array, theirs: Array, labels: Array) -> Agreement:
    """How often two models say the same, of the classes that both know.

    Args:
        mine, theirs: ``(N, C)`` scores in the same columns; NaN in ``theirs`` where it knows no such class.
        labels: ``(N,)``; only images of a class that both know are compared.

    Returns:
        The share is None without such images.

    >>> mine = np.array([[2.0, 1.0, 9.0], [1.0, 2.0, 0.0]])
    >>> theirs = np.array([[1.0, 0.0, np.nan], [1.0, 0.0, np.nan]])  # knows no third class
    >>> agreement(mine, theirs, np.array([0, 1]))
    Agreement(images=2, share=0.5)
    """
    both = np.flatnonzero(~np.isnan(theirs).any(0))
    compared = np.isin(labels, both)
    if not compared.any():
        return Agreement(images=0, share=None)
    said = (SINGLE_LABEL.decide(scores[compared][:, both]) for scores in (mine, theirs))
    return Agreement(images=int(compared.sum()), share=float(np.equal(*said).mean()))


def forgetting(
    before: Mapping[str, Row], after: Mapping[str, Row], retained: Sequence[str]
) -> dict[str, Any]:
    """Recall before minus recall after for each retained class, their mean and the worst.

    Returns:
        ``{per_class: {class: share or None}, mean, worst}``; mean and worst are over the classes with test
        images, None if there are none.

    >>> labels = np.array([0, 0, 1])
    >>> before, after = (per_class(np.eye(3)[said], labels, list("abc")) for said in ([0, 0, 1], [0, 1, 1]))
    >>> found = forgetting(before, after, ["a", "b", "c"])
    >>> found["mean"], found["worst"], found["per_class"]["c"]
    (0.25, 0.5, None)
    """
    each: dict[str, float | None] = {}
    for name in retained:
        b, a = before[name].recall, after[name].recall
        each[name] = None if b is None or a is None else b - a
    values = [v for v in each.values() if v is not None]
    return {
        "per_class": each,
        "mean": float(np.mean(values)) if values else None,
        "worst": max(values) if values else None,
    }


def _of(patients: Array | None, chosen: Array) -> Array | None:
    return None if patients is None else patients[chosen]


def _known(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
