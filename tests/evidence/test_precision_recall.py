"""Precision against recall."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import average_precision_score

from clinical_qkt.evidence.precision_recall import precision_recall


def drawn(seed: int, mine: int = 20, others: int = 200, apart: float = 2.0, digits: int = 2):
    """Scores of two classes, with ties; ``(probabilities, labels)``."""
    rng = np.random.default_rng(seed)
    labels = np.repeat([1, 0], [mine, others])
    score = norm.cdf(rng.normal(apart * labels - 1, 1)).round(digits)
    return np.stack([1 - score, score], 1), labels


def test_the_area_is_scikit_learns_average_precision_whatever_the_prevalence():
    probabilities, labels = drawn(0)
    found = precision_recall(probabilities, labels, 1, "x", draws=20)
    assert found.average_precision == pytest.approx(average_precision_score(labels, probabilities[:, 1]))
    assert found.prevalence == pytest.approx(20 / 220) and found.prevalence_from == "test images"
    weights = np.where(labels == 1, 0.01 / 20, 0.99 / 200)
    rare = precision_recall(probabilities, labels, 1, "x", 0.01, draws=20)
    expected = average_precision_score(labels, probabilities[:, 1], sample_weight=weights)
    assert rare.average_precision == pytest.approx(expected) and rare.prevalence_from == "site"
    assert rare.average_precision < found.average_precision


def test_the_curve_begins_with_every_image_found_and_has_few_points():
    found = precision_recall(*drawn(1, 300, 3000, digits=6), 1, "x", draws=5)
    assert found.recall[0] == 1 and found.recall == sorted(found.recall, reverse=True)
    assert 20 < len(found.recall) == len(found.precision) <= 100


def test_a_perfect_order_of_few_images_does_not_promise_a_perfect_precision():
    labels = np.repeat([1, 0], [20, 100])
    score = labels * 0.9 + 0.05
    found, rare = (
        precision_recall(np.stack([1 - score, score], 1), labels, 1, "x", p, draws=20) for p in (None, 0.001)
    )
    assert found.average_precision == rare.average_precision == 1
    assert 0.5 < found.ci95[0] < 0.95
    assert rare.ci95[0] < 0.1, "of 1,000 others, 30 could be false alarms of which 100 images show none"


@pytest.mark.slow
@pytest.mark.parametrize("prevalence", [None, 0.01])
def test_the_interval_holds_the_truth_in_95_of_100_repetitions(prevalence):
    at = np.linspace(-8, 8, 20001)[::-1]
    p = prevalence or 20 / 220
    recall, alarms = norm.sf(at, 1), norm.sf(at, -1)
    truth = np.trapezoid(recall * p / (recall * p + alarms * (1 - p)), recall)
    found = [
        precision_recall(*drawn(seed, digits=9), 1, "x", prevalence, draws=200).ci95 for seed in range(200)
    ]
    assert sum(low > truth for low, _ in found) <= 5 and sum(high < truth for _, high in found) <= 10


def test_without_images_of_the_class_or_of_others_there_is_no_curve():
    probabilities, labels = drawn(0)
    for labels in (np.zeros(220, int), np.ones(220, int)):
        assert precision_recall(probabilities, labels, 1, "x") is None
