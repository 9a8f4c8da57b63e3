"""Intervals that know that the queries of a seed are alike."""

import numpy as np
import pytest

from clinical_qkt.research.benchmark.clustered import interval
from clinical_qkt.research.benchmark.rows import in_points


def test_queries_that_are_alike_within_a_seed_say_less():
    rng = np.random.default_rng(1)
    seeds = np.repeat(range(6), 8)
    alike = (rng.normal(90, 5, 6)[seeds] + rng.normal(0, 0.5, 48)).tolist()
    wide, narrow = interval(alike, seeds.tolist()), interval(alike)
    assert wide["mean"] == narrow["mean"] == pytest.approx(np.mean(alike))
    assert wide["high"] - wide["low"] > 2 * (narrow["high"] - narrow["low"])


def test_a_clustered_interval_holds_the_true_mean_about_as_often_as_it_says():
    rng, seeds, held = np.random.default_rng(2), np.repeat(range(10), 6), 0
    for _ in range(200):
        values = rng.normal(0, 1, 10)[seeds] + rng.normal(0, 1, 60)
        found = interval(values.tolist(), seeds.tolist(), resamples=300)
        held += found["low"] <= 0 <= found["high"]
    assert 0.86 <= held / 200 <= 0.99


def test_with_fewer_than_three_seeds_queries_are_drawn():
    values, seeds = [1.0, 2.0, 3.0, 4.0], [3, 3, 4, 4]
    assert interval(values, seeds) == interval(values)


def test_seeds_of_different_size_count_by_their_queries():
    found = interval([10.0] * 8 + [0.0, 0.0], [3] * 8 + [4, 5])
    assert found["mean"] == 8.0 and found["low"] == 0.0 and found["high"] == 10.0


def test_equal_values_have_no_width():
    assert in_points([5.0] * 9, [1, 1, 1, 2, 2, 2, 3, 3, 3]) == "5.0 (5.0 to 5.0)"
