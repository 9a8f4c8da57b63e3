"""The area under the curve and its interval."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from clinical_qkt.evidence.auroc import auroc


def test_the_area_is_scikit_learns_with_ties_too():
    rng = np.random.default_rng(0)
    high, low = rng.normal(1, 1, 30).round(1), rng.normal(0, 1, 50).round(1)
    expected = roc_auc_score(np.repeat([1, 0], [30, 50]), np.concatenate([high, low]))
    assert auroc(high, low)[0] == pytest.approx(expected)


def test_a_perfect_order_of_few_images_has_an_interval_all_the_same():
    few, many = (auroc(np.ones(n), np.zeros(n)) for n in (5, 50))
    assert few[0] == many[0] == 1.0
    assert few[1][0] < many[1][0] < 1.0 == pytest.approx(many[1][1])


def test_scores_that_are_infinite_count_by_their_order():
    area, ends = auroc(np.array([1.0, 2.0]), np.array([-np.inf, -np.inf, 1.5]))
    assert area == pytest.approx(5 / 6) and ends[0] < area < ends[1]


def test_images_of_one_patient_make_the_interval_wider():
    rng = np.random.default_rng(1)
    level = np.repeat(rng.normal(0, 1, 8), 10)
    high, low = 1.5 + level + rng.normal(0, 0.3, 80), rng.normal(0, 1, 80)
    alone = auroc(high, low)[1]
    shared = auroc(high, low, (np.repeat(np.arange(8), 10), 8 + np.arange(80)))[1]
    assert shared[0] < alone[0] and alone[1] < shared[1]


def test_without_images_of_one_kind_nothing_is_known():
    assert auroc(np.ones(3), np.zeros(0)) == auroc(np.zeros(0), np.ones(3)) == (None, None)


@pytest.mark.parametrize(("m", "n"), [(10, 10), (40, 300), (300, 20)])
def test_the_lower_end_is_seldom_above_the_truth(m, n):
    rng, above, below = np.random.default_rng(2), 0, 0
    for apart in (0, 2, 4):
        truth = norm.cdf(apart / np.sqrt(2))
        for _ in range(100):
            _, (low, high) = auroc(rng.normal(apart, 1, m), rng.normal(0, 1, n))
            above, below = above + (low > truth), below + (high < truth)
    assert above <= 9 and below <= 15
