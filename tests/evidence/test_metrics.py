import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import f1_score, precision_score, recall_score, roc_auc_score
from torchmetrics.functional.classification import multiclass_calibration_error

from clinical_qkt.evidence import metrics
from clinical_qkt.evidence.evaluation import Agreement, Calibration, Row

NAMES = ["a", "b", "c"]


def row(**known):
    """A class of which nothing else is known."""
    unknown = dict.fromkeys(("recall", "recall_ci95", "precision", "f1", "auroc"))
    return Row(**{**unknown, "support": 0, **known})


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
            assert getattr(rows[name], key) == (None if np.isnan(expected) else pytest.approx(expected))
        assert rows[name].auroc == pytest.approx(roc_auc_score(labels == c, probabilities[:, c]))
        assert rows[name].support == (labels == c).sum()


def test_what_cannot_be_known_is_none_and_never_zero():
    probabilities = np.array([[0.9, 0.1, 0.0], [0.8, 0.2, 0.0]])
    rows = metrics.per_class(probabilities, np.array([0, 1]), NAMES)
    assert rows["c"] == row()
    assert metrics.macro_recall(rows, ["c"]) is None
    assert metrics.macro_recall(rows, ["a", "b"]) == 0.5


def test_an_interval_of_the_mean_of_classes_is_none_if_one_is_unknown():
    rows = {"a": row(recall=0.9, recall_ci95=[0.8, 1.0]), "b": row(recall=0.5, recall_ci95=[0.3, 0.7])}
    low, high = metrics.macro_interval(rows, ["a", "b"])
    assert 0.7 - (0.1 + 0.2) / 2 < low < 0.7 < high < 0.7 + (0.1 + 0.2) / 2
    assert metrics.macro_interval(rows, ["a"]) == pytest.approx([0.8, 1.0])
    assert metrics.macro_interval({**rows, "c": row()}, ["a", "c"]) is None


def test_recall_has_the_exact_interval_and_by_patient_a_wider_one():
    labels, probabilities = np.zeros(60, int), np.eye(2)[np.repeat([0] * 5 + [1], 10)]
    patients = np.repeat(np.arange(6), 10)
    by_image, by_patient = (
        metrics.per_class(probabilities, labels, ["a", "b"], p)["a"] for p in (None, patients)
    )
    exact = binomtest(50, 60).proportion_ci(0.95)
    assert by_image.recall_ci95 == pytest.approx([exact.low, exact.high])
    assert by_patient.recall_ci95[0] < by_image.recall_ci95[0] - 0.1
    assert (by_image.patients, by_patient.patients) == (None, 6)


def test_false_alarms_are_images_of_other_classes_that_are_called_a_queried_one():
    called = np.array([0, 2, 2, 1, 3, 2, 2, 3])
    labels = np.array([0, 0, 1, 1, 1, 2, 3, 3])
    found = metrics.false_alarms(np.eye(4)[called], labels, ["a", "b", "c", "d"], [2, 3])
    assert (found.overall.count, found.overall.images) == (3, 5)
    assert (found.per_class["c"].count, found.per_class["c"].images) == (3, 7)
    assert (found.per_class["d"].count, found.per_class["d"].images) == (1, 6)
    exact = binomtest(3, 5).proportion_ci(0.95)
    assert found.overall.ci95 == pytest.approx([exact.low, exact.high])


def test_without_images_of_other_classes_false_alarms_are_unknown_and_not_none_at_all():
    for labels in (np.zeros(0, int), np.ones(3, int)):
        overall = metrics.false_alarms(np.eye(2)[labels], labels, ["a", "q"], [1]).overall
        assert (overall.images, overall.share, overall.ci95) == (0, None, None)


def test_calibration_has_an_interval_that_patients_make_wider():
    rng = np.random.default_rng(2)
    right = np.repeat(rng.random(40) < 0.8, 5)
    probabilities = np.where(right[:, None], [0.8, 0.2], [0.2, 0.8])
    labels, patients = np.zeros(200, int), np.repeat(np.arange(40), 5)
    by_image, by_patient = (metrics.calibration(probabilities, labels, p) for p in (None, patients))
    for found in (by_image, by_patient):
        assert found.ci95[0] <= found.error <= found.ci95[1]
    assert np.ptp(by_patient.ci95) > 1.3 * np.ptp(by_image.ci95)


def test_calibration_is_torchmetrics_expected_calibration_error():
    rng = np.random.default_rng(1)
    probabilities = rng.dirichlet([0.4] * 4, 500)
    labels = np.array([rng.choice(4, p=p**1.5 / (p**1.5).sum()) for p in probabilities])
    found = metrics.calibration(probabilities, labels)
    theirs = multiclass_calibration_error(torch.tensor(probabilities), torch.tensor(labels), 4, n_bins=10)
    assert found.error == pytest.approx(float(theirs), abs=1e-6)
    assert found.images == sum(b.images for b in found.bins) == 500
    nothing = metrics.calibration(np.empty((0, 4)), np.empty(0))
    assert nothing == Calibration(error=None, ci95=None, images=0, bins=[])


def test_thresholds_trade_recognised_images_for_false_alarms():
    probabilities = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.7, 0.3]])
    rows = metrics.thresholds(probabilities, np.array([0, 1, 1, 0]), 1, points=[0.05, 0.35, 0.9])
    assert [(r.recognised, r.false_alarms) for r in rows] == [(1.0, 1.0), (1.0, 0.0), (0.0, 0.0)]
    assert (rows[0].images, rows[0].others) == (2, 2)
    assert metrics.thresholds(probabilities, np.zeros(4), 1, points=[0.5])[0].recognised is None


def test_agreement_counts_images_of_classes_that_both_know_and_no_other():
    mine = np.array([[5.0, 0, 9], [0, 5, 0], [0, 5, 0], [0, 0, 5]])
    theirs = np.array([[1.0, 0, np.nan], [1, 0, np.nan], [0, 1, np.nan], [0, 1, np.nan]])
    assert metrics.agreement(mine, theirs, np.array([0, 1, 1, 2])) == Agreement(images=3, share=2 / 3)
    assert metrics.agreement(mine, theirs, np.array([2, 2, 2, 2])) == Agreement(images=0, share=None)


def test_forgetting_is_before_minus_after_on_the_retained_classes():
    def rows(*recalls):
        return {n: row(recall=r) for n, r in zip(NAMES, recalls, strict=True)}

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
    assert metrics.confusion(np.zeros((0, 2)), np.zeros(0, dtype=int), 2).tolist() == [[0, 0], [0, 0]]
    rows = metrics.per_class(np.zeros((0, 2)), np.zeros(0, dtype=int), ["a", "b"])
    assert rows["a"] == rows["b"] and rows["a"].support == 0
    assert rows["a"] == row()
