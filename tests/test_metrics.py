import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score, precision_score, recall_score, roc_auc_score
from torchmetrics.functional.classification import multiclass_calibration_error

from clinical_qkt import metrics

NAMES = ["a", "b", "c"]


def made(seed: int, count: int = 60) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.ones(3), count)
    return probabilities, rng.integers(0, 3, count)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_agrees_with_scikit_learn(seed):
    probabilities, labels = made(seed)
    rows, predicted = metrics.per_class(probabilities, labels, NAMES), probabilities.argmax(1)
    for c, name in enumerate(NAMES):
        for key, score in (("recall", recall_score), ("precision", precision_score), ("f1", f1_score)):
            expected = score(labels, predicted, labels=[c], average="macro", zero_division=np.nan)
            assert (
                rows[name][key] is None if np.isnan(expected) else rows[name][key] == pytest.approx(expected)
            )
        assert rows[name]["auroc"] == pytest.approx(roc_auc_score(labels == c, probabilities[:, c]))
        assert rows[name]["support"] == (labels == c).sum()


def test_what_cannot_be_known_is_none_and_never_zero():
    probabilities = np.array([[0.9, 0.1, 0.0], [0.8, 0.2, 0.0]])
    rows = metrics.per_class(probabilities, np.array([0, 1]), NAMES)
    assert rows["c"] == {
        "recall": None, "precision": None, "f1": None, "auroc": None, "support": 0, "recall_ci95": None,
    }  # fmt: skip
    assert metrics.macro_recall(rows, ["c"]) is None
    assert metrics.macro_recall(rows, ["a", "b"]) == 0.5


def test_the_interval_covers_the_true_recall_about_95_times_in_100():
    rng, truth, inside = np.random.default_rng(0), 0.8, 0
    for i in range(400):
        low, high = metrics.recall_interval(int(rng.binomial(200, truth)), 200, seed=i)
        inside += low <= truth <= high
    assert 0.91 < inside / 400 < 0.985


def test_the_interval_admits_doubt_even_if_every_image_is_right():
    assert metrics.recall_interval(50, 50) == [pytest.approx(0.929, abs=1e-3), 1.0]
    assert metrics.recall_interval(0, 50) == [0.0, pytest.approx(0.071, abs=1e-3)]
    assert metrics.recall_interval(0, 0) is None


def test_the_interval_of_few_images_is_the_exact_one():
    from scipy.stats import binomtest

    for correct, support in ((1, 3), (3, 4), (10, 19)):
        exact = binomtest(correct, support).proportion_ci(method="exact")
        assert metrics.recall_interval(correct, support) == pytest.approx([exact.low, exact.high])


def test_an_interval_of_the_mean_of_classes_is_none_if_one_is_unknown():
    rows = {"a": {"recall": 1.0, "recall_ci95": [0.8, 1.0]}, "b": {"recall": 0.5, "recall_ci95": [0.2, 0.6]}}
    assert metrics.macro_interval(rows, ["a", "b"]) == pytest.approx([0.5, 0.8])
    assert metrics.macro_interval({**rows, "c": {"recall": None}}, ["a", "c"]) is None


def test_calibration_is_torchmetrics_expected_calibration_error():
    rng = np.random.default_rng(1)
    probabilities = rng.dirichlet([0.4] * 4, 500)
    labels = np.array([rng.choice(4, p=p**1.5 / (p**1.5).sum()) for p in probabilities])
    found = metrics.calibration(probabilities, labels)
    theirs = multiclass_calibration_error(torch.tensor(probabilities), torch.tensor(labels), 4, n_bins=10)
    assert found["error"] == pytest.approx(float(theirs), abs=1e-6)
    assert found["images"] == sum(b["images"] for b in found["bins"]) == 500
    assert metrics.calibration(np.empty((0, 4)), np.empty(0)) == {"error": None, "images": 0, "bins": []}


def test_thresholds_trade_recognised_images_for_false_alarms():
    probabilities = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.7, 0.3]])
    rows = metrics.thresholds(probabilities, np.array([0, 1, 1, 0]), 1, points=[0.05, 0.35, 0.9])
    assert [(r["recognised"], r["false_alarms"]) for r in rows] == [(1.0, 1.0), (1.0, 0.0), (0.0, 0.0)]
    assert (rows[0]["images"], rows[0]["others"]) == (2, 2)
    assert metrics.thresholds(probabilities, np.zeros(4), 1, points=[0.5])[0]["recognised"] is None


def test_agreement_counts_images_of_classes_that_both_know_and_no_other():
    mine = np.array([[5.0, 0, 9], [0, 5, 0], [0, 5, 0], [0, 0, 5]])
    theirs = np.array([[1.0, 0, np.nan], [1, 0, np.nan], [0, 1, np.nan], [0, 1, np.nan]])
    assert metrics.agreement(mine, theirs, np.array([0, 1, 1, 2])) == {
        "images": 3,
        "share": pytest.approx(2 / 3),
    }
    assert metrics.agreement(mine, theirs, np.array([2, 2, 2, 2])) == {"images": 0, "share": None}


def test_forgetting_is_before_minus_after_on_the_retained_classes():
    def rows(*recalls):
        return {n: {"recall": r} for n, r in zip(NAMES, recalls, strict=True)}

    lost = metrics.forgetting(rows(0.9, 0.8, None), rows(0.6, 0.9, None), NAMES)
    assert lost["per_class"] == {"a": pytest.approx(0.3), "b": pytest.approx(-0.1), "c": None}
    assert lost["mean"] == pytest.approx(0.1) and lost["worst"] == pytest.approx(0.3)
    assert metrics.forgetting(rows(1, 1, None), rows(1, 1, None), ["c"])["mean"] is None


def test_confusion_has_true_classes_in_rows():
    probabilities = np.eye(3)[[1, 1, 2]]
    assert metrics.confusion(probabilities, np.array([0, 1, 1]), 3).tolist() == [
        [0, 1, 0],
        [0, 1, 1],
        [0, 0, 0],
    ]


def test_without_any_image_nothing_is_known():
    rows = metrics.per_class(np.zeros((0, 2)), np.zeros(0, dtype=int), ["a", "b"])
    assert rows["a"] == rows["b"] and rows["a"]["support"] == 0
    assert all(value is None for key, value in rows["a"].items() if key != "support")
