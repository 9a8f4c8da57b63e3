"""Coverage against error."""

from __future__ import annotations

import numpy as np

from clinical_qkt.evidence.abstention import THRESHOLDS, abstention
from clinical_qkt.evidence.intervals import proportion


def said(*rows: tuple[int, float, int]) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities over three classes and labels, of (named, stated, true) each."""
    probabilities = np.array([[(1 - s) / 2] * 3 for _, s, _ in rows])
    for i, (named, stated, _) in enumerate(rows):
        probabilities[i, named] = stated
    return probabilities, np.array([true for *_, true in rows])


def test_what_is_not_answered_is_looked_at_and_only_answers_can_be_wrong():
    probabilities, labels = said((0, 0.95, 0), (2, 0.92, 0), (2, 0.7, 2), (1, 0.6, 2), (1, 0.99, 1))
    found = abstention(probabilities, labels, [2], thresholds=(0.0, 0.9))
    everything, sure = found.points
    assert (everything.answered, everything.looked_at, everything.wrong) == (5, 0, 2)
    assert (sure.answered, sure.looked_at, sure.wrong) == (3, 2, 1)
    assert sure.ci95 == proportion(1, 3)


def test_false_alarms_and_missed_images_are_counted_among_answers_alone():
    probabilities, labels = said((2, 0.92, 0), (2, 0.5, 1), (0, 0.95, 2), (1, 0.6, 2), (2, 0.99, 2))
    everything, sure = abstention(probabilities, labels, [2], thresholds=(0.0, 0.9)).points
    assert [(p.missed.count, p.missed.images) for p in (everything, sure)] == [(2, 3), (1, 2)]
    assert [(p.false_alarms.count, p.false_alarms.images) for p in (everything, sure)] == [(2, 2), (1, 1)]


def test_a_threshold_that_no_image_reaches_has_no_error_rather_than_none_wrong():
    point = abstention(*said((0, 0.5, 0)), [2], thresholds=(0.9,)).points[0]
    assert (point.answered, point.wrong_share, point.ci95, point.missed.share) == (0, None, None, None)


def test_without_test_images_there_is_a_curve_that_says_nothing():
    found = abstention(np.zeros((0, 3)), np.zeros(0, int), [2])
    assert found.images == 0 and {p.wrong_share for p in found.points} == {None}
    assert len(found.points) == len(THRESHOLDS)


def test_images_of_one_patient_make_the_interval_wider():
    probabilities, labels = said(*[(0, 0.95, 0)] * 30, *[(1, 0.95, 0)] * 10)
    patients = np.repeat(np.arange(8), 5)
    alone, shared = (
        abstention(probabilities, labels, [2], p, (0.9,)).points[0].ci95 for p in (None, patients)
    )
    assert shared[0] < alone[0] < alone[1] < shared[1]
