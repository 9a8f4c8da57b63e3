"""All that test images say of one model: an ``Evaluation``, made of what the model states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clinical_qkt.data.label_space import LabelSpace
from clinical_qkt.evidence import base_rates, metrics
from clinical_qkt.evidence.evaluation import Evaluation, Groups, Tested
from clinical_qkt.tasks.single_label import SINGLE_LABEL

Array = NDArray[Any]


def evaluate(
    probabilities: Array,
    truth: Array,
    labels: LabelSpace,
    query: Sequence[int],
    patients: Array | None = None,
    prevalence: Mapping[str, float] = MappingProxyType({}),
) -> Evaluation:
    """What a model does on the test images.

    Args:
        probabilities: ``(N, C)``, columns in the order of ``labels``.
        truth: ``(N,)`` the column of each image's class.
        query: the columns of the queried classes.
        patients: ``(N,)`` whose image it is; None if the list names nobody.
        prevalence: by queried class, in percent.

    >>> probabilities = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]])
    >>> found = evaluate(probabilities, np.array([0, 0, 1]), LabelSpace(["cat", "dog"]), query=[1])
    >>> found.query_recall, found.retained_recall, found.false_alarms.overall.count
    (1.0, 0.5, 1)
    """
    rows = metrics.per_class(probabilities, truth, labels.names, patients)
    queried = [labels[q].name for q in query]
    retained = [n for n in labels.names if n not in queried]
    called = SINGLE_LABEL.decide(probabilities)
    shows_queried = np.isin(truth, query)
    return Evaluation(
        tested=Groups(
            all=_tested(shows_queried | True, patients),
            retained=_tested(~shows_queried, patients),
            queried=_tested(shows_queried, patients),
        ),
        per_class=rows,
        query_recall=metrics.macro_recall(rows, queried),
        query_recall_ci95=metrics.macro_interval(rows, queried),
        false_alarms=metrics.false_alarms(probabilities, truth, labels.names, query, patients),
        retained_recall=metrics.macro_recall(rows, retained),
        retained_recall_ci95=metrics.macro_interval(rows, retained),
        calibration=metrics.calibration(probabilities, truth, patients),
        confusion=metrics.confusion(probabilities, truth, len(labels)).tolist(),
        thresholds={labels[q].name: metrics.thresholds(probabilities, truth, q) for q in query},
        base_rates={
            labels[q].name: base_rates.ladder(
                called[truth == q] == q,
                called[truth != q] == q,
                prevalence.get(labels[q].name),
                None if patients is None else (patients[truth == q], patients[truth != q]),
            )
            for q in query
        },
    )


def _tested(chosen: Array, patients: Array | None) -> Tested:
    people = None if patients is None else len(np.unique(patients[chosen]))
    return Tested(images=int(chosen.sum()), patients=people)
