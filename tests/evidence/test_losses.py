import numpy as np
import pytest

from clinical_qkt.evidence.losses import lost

NAMES = ["a", "b"]


def answers(*rows):
    """Per class and image: what the model called it."""
    return np.concatenate([np.array(r) for r in rows])


def test_a_loss_is_recall_before_minus_after_by_class_and_the_worst_is_named():
    labels = np.repeat([0, 1], 10)
    before = labels.copy()
    after = answers([1, 1, 1] + [0] * 7, [1] * 10)
    found = lost(before, after, labels, NAMES)
    assert found.per_class == {"a": pytest.approx(0.3), "b": 0.0}
    assert (found.worst, found.worst_class) == (pytest.approx(0.3), "a")
    assert found.mean == pytest.approx(0.15)
    assert found.per_class_ci95["a"][0] < 0.3 < found.per_class_ci95["a"][1]


def test_a_gain_of_one_class_does_not_make_up_for_a_loss_of_another():
    labels = np.repeat([0, 1], 100)
    before = answers([0] * 100, [0] * 20 + [1] * 80)
    after = answers([1] * 20 + [0] * 80, [1] * 100)
    found = lost(before, after, labels, NAMES)
    assert found.mean == pytest.approx(0)
    assert found.mean_loss == pytest.approx(0.1)
    assert found.mean_loss_ci95[1] > 0.12


def test_what_was_never_tested_is_unknown_and_no_loss():
    found = lost(np.array([0]), np.array([0]), np.array([0]), NAMES)
    assert found.per_class["b"] is None and found.per_class_ci95["b"] is None
    assert found.mean == 0 and found.worst_class == "a"
    none = lost(*[np.zeros(0, int)] * 3, NAMES)
    assert none.mean is none.mean_loss_ci95 is none.worst_class is None
    assert none.per_class == {"a": None, "b": None}


def test_intervals_are_by_patient_where_they_are_named():
    labels, patients = np.zeros(60, int), np.repeat(np.arange(6), 10)
    before, after = labels, np.where(patients == 0, 1, 0)
    by_image = lost(before, after, labels, ["a"])
    by_patient = lost(before, after, labels, ["a"], patients)
    for key in ("mean_loss_ci95", "worst_ci95", "mean_ci95"):
        assert getattr(by_patient, key)[1] > getattr(by_image, key)[1] + 0.1


@pytest.mark.parametrize(
    ("images", "classes", "worse", "better"),
    [(40, 2, 0.05, 0.05), (40, 5, 0.05, 0.02), (100, 2, 0.02, 0.0), (100, 6, 0.15, 0.1), (30, 4, 0.0, 0.1)],
)
def test_the_ends_of_all_overall_losses_are_on_the_wrong_side_of_the_truth_seldom(
    images, classes, worse, better
):
    rng, times = np.random.default_rng(5), 150
    labels, truth = np.repeat(np.arange(classes), images), worse - better
    true = {"mean_ci95": truth, "mean_loss_ci95": max(0, truth), "worst_ci95": truth}
    wrong = {key: np.zeros(2) for key in true}
    for _ in range(times):
        u = rng.random(len(labels))
        after = np.where(u < worse, classes, labels)
        before = np.where((u >= worse) & (u < worse + better), classes, labels)
        found = lost(before, after, labels, [str(c) for c in range(classes)])
        for key, value in true.items():
            low, high = getattr(found, key)
            wrong[key] += (low > value + 1e-12, high < value - 1e-12)
    assert all((count / times <= 0.06).all() for count in wrong.values()), wrong
