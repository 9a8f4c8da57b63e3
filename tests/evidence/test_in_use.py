"""The model in use against the new one."""

from __future__ import annotations

import numpy as np
import pytest

from clinical_qkt.core.errors import InputError
from clinical_qkt.data.label_space import LabelSpace
from clinical_qkt.evidence.in_use import OTHER, compared, named
from clinical_qkt.evidence.intervals import paired

SPACE = LabelSpace(["a", "b", "q"])
LABELS = np.repeat([0, 1, 2], 20)
NEW = np.where(np.arange(60) % 10 == 0, 2, LABELS)


def old(called: np.ndarray, classes: int) -> np.ndarray:
    return np.eye(classes)[called] * 0.9 + 0.05


def test_a_class_that_it_lacks_is_not_recognised_and_one_beyond_counts_as_other():
    called = np.where(LABELS == 2, 2, LABELS)  # what shows q it calls x
    found = compared(
        old(called, 3), LabelSpace(["b", "a", "x"]), 1 - np.minimum(LABELS, 1), SPACE, [2], NEW,
        version="3", weights_sha256="0" * 64,
    )  # fmt: skip
    assert (found.lacks, found.beyond, found.query_recall) == (["q"], ["x"], None)
    found = compared(
        old(called, 3), LabelSpace(["a", "b", "x"]), LABELS, SPACE, [2], NEW,
        version="3", weights_sha256="0" * 64,
    )  # fmt: skip
    assert found.query_recall == 0 and found.per_class["q"].count == 0
    assert found.retained_recall == 1 and found.false_alarms.count == 0


def test_differences_are_new_minus_in_use_and_paired():
    was = np.where(np.arange(60) % 5 == 0, 1, LABELS)
    found = compared(old(was, 3), SPACE, LABELS, SPACE, [2], NEW, version="1", weights_sha256="0" * 64)
    assert found.difference["query_recall"].share == pytest.approx(1.0 - 0.8)
    mine = LABELS == 2
    assert found.difference_by_class["q"].ci95 == paired(NEW[mine] == 2, was[mine] == 2)
    alarms = found.difference["false_alarms"]
    assert alarms.share == pytest.approx(4 / 40) and alarms.ci95[0] < alarms.share < alarms.ci95[1]
    assert alarms.images == 40 and found.difference["retained_recall"].images == 40


def test_the_same_model_differs_in_nothing():
    found = compared(old(NEW, 3), SPACE, LABELS, SPACE, [2], NEW, version="1", weights_sha256="0" * 64)
    assert {d.share for d in found.difference.values()} == {0.0} and found.lacks == found.beyond == []


def test_a_class_without_test_images_leaves_the_mean_unknown_rather_than_better():
    some = LABELS != 0
    found = compared(
        old(NEW[some], 3), SPACE, LABELS[some], SPACE, [2], NEW[some], version="1", weights_sha256="0" * 64
    )
    assert found.retained_recall is found.retained_recall_ci95 is None
    assert found.difference["retained_recall"].share is None and found.per_class["a"].share is None


def test_probabilities_of_classes_that_are_one_here_are_added_up():
    probabilities = np.array([[0.3, 0.3, 0.4], [0.1, 0.1, 0.8]])
    assert named(probabilities, {0: 1, 1: 1, 2: 0}, 2).tolist() == [1, 0]


def test_a_class_beyond_the_list_is_other_only_where_it_is_the_likeliest():
    probabilities = np.array([[0.3, 0.3, 0.4], [0.5, 0.1, 0.4]])
    assert named(probabilities, {0: 0, 1: 1}, 3).tolist() == [OTHER, 0]


def test_classes_that_could_be_more_than_one_are_refused():
    doubtful = LabelSpace([{"name": "a", "system": "s", "code": "1"}, "b", "q"])
    theirs = LabelSpace([{"name": "x", "system": "s", "code": "1"}, "a"])
    with pytest.raises(InputError, match="could"):
        compared(old(NEW, 2 + 1), theirs, LABELS, doubtful, [2], NEW, version="1", weights_sha256="0" * 64)
