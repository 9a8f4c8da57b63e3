"""Decision curves."""

from __future__ import annotations

import numpy as np
import pytest

from clinical_qkt.evidence.net_benefit import net_benefit

PROBABILITIES = np.array([[0.1, 0.9], [0.6, 0.4], [0.8, 0.2], [0.7, 0.3], [0.95, 0.05]])
LABELS = np.array([1, 1, 0, 0, 0])


def points(**more):
    return {p.threshold: p for p in net_benefit(PROBABILITIES, LABELS, 1, "x", **more).points}


def test_net_benefit_is_hits_less_weighed_false_alarms_an_image():
    point = points(thresholds=(0.25,))[0.25]
    assert point.model == pytest.approx(2 / 5 - 1 / 5 * (0.25 / 0.75))
    assert point.named == pytest.approx(1 / 5)
    assert point.call_none == 0 and point.call_all == pytest.approx(2 / 5 - 3 / 5 / 3)


def test_another_prevalence_weighs_hits_and_false_alarms_anew():
    point = points(prevalence=0.01, thresholds=(0.25,))[0.25]
    assert point.model == pytest.approx(0.01 - 0.99 / 3 * (1 / 3))
    assert point.call_all == pytest.approx(0.01 - 0.99 / 3)


def test_the_interval_takes_both_shares_at_their_bad_ends():
    narrow, wide = (
        net_benefit(np.repeat(PROBABILITIES, k, 0), np.repeat(LABELS, k), 1, "x", thresholds=(0.25,)).points[
            0
        ]
        for k in (40, 4)
    )
    assert wide.ci95[0] < narrow.ci95[0] < narrow.model < narrow.ci95[1] < wide.ci95[1]


def test_the_interval_holds_the_truth_in_95_of_100_repetitions():
    rng, p, t, held = np.random.default_rng(0), 0.05, 0.2, 0
    truth = 0.8 * p - 0.1 * (1 - p) * t / (1 - t)
    labels = np.repeat([1, 0], [30, 120])
    for _ in range(300):
        called = rng.random(150) < np.where(labels, 0.8, 0.1)
        score = np.where(called, 0.3, 0.1)
        found = net_benefit(np.stack([1 - score, score], 1), labels, 1, "x", p, thresholds=(t,)).points[0]
        held += found.ci95[0] <= truth <= found.ci95[1]
    assert held >= 285


def test_without_images_of_the_class_or_of_others_there_is_no_curve():
    assert net_benefit(PROBABILITIES, np.zeros(5, int), 1, "x") is None
    assert net_benefit(PROBABILITIES, np.ones(5, int), 1, "x") is None
    assert net_benefit(np.zeros((0, 2)), np.zeros(0, int), 1, "x") is None
