"""What the figures of a labelled list are worth: exact where they can be, measured where they cannot."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, hypergeom

from clinical_qkt.worklist.estimates import Counted, Figures, Total, exact_limits, figures, rare_limits, ratio
from clinical_qkt.worklist.sampling import drawn, strata


@pytest.mark.parametrize(("size", "n"), [(30, 7), (200, 40), (60, 59)])
def test_exact_limits_miss_the_truth_at_either_end_in_at_most_25_of_1000_lists(size, n):
    limits = [exact_limits(y, n, size) for y in range(n + 1)]
    for there in range(size + 1):
        p = hypergeom.pmf(np.arange(n + 1), size, there, n)
        assert sum(p[y] for y in range(n + 1) if limits[y][0] > there) <= 0.025
        assert sum(p[y] for y in range(n + 1) if limits[y][1] < there) <= 0.025


def test_what_was_labelled_wholly_is_known():
    assert exact_limits(3, 10, 10) == (3, 3)
    assert rare_limits([1.0, 1.0], 1) == (2, 2)


def test_where_nothing_was_found_there_may_be_some_all_the_same():
    low, high = rare_limits([], 50)
    assert low == 0
    assert binom.cdf(0, int(high) + 1, 1 / 50) <= 0.025  # with more than that, one would have been found
    assert rare_limits([], 500)[1] > 9 * high


def test_limits_of_a_rare_kind_miss_the_truth_at_either_end_in_at_most_25_of_1000_lists():
    """Enumerated: images that are seen with probability 1/5, as in cells of five."""
    for there in (1, 3, 10, 40):
        p = binom.pmf(np.arange(there + 1), there, 1 / 5)
        limits = [rare_limits([5.0] * y, 5) for y in range(there + 1)]
        assert sum(p[y] for y in range(there + 1) if limits[y][0] > there) <= 0.025
        assert sum(p[y] for y in range(there + 1) if limits[y][1] < there) <= 0.025


def test_the_ratio_of_one_total_to_a_known_number_has_the_limits_of_the_total():
    told = ratio(np.array([1.0]), np.array([0.0]), [Total(5, 2, 9)], (0, 10))
    assert (told.value, told.low, told.high) == pytest.approx((0.5, 0.2, 0.9))


def test_a_ratio_to_nothing_is_not_known():
    told = ratio(np.array([1.0]), np.array([1.0]), [Total(0, 0, 9)])
    assert (told.value, told.low, told.high) == (None, 0, 1)


def test_with_all_images_labelled_the_figures_are_those_of_the_archive():
    told = figures([Counted(10, 10, (1,) * 8, (), True), Counted(90, 90, (1,) * 2, (1,), False)])
    for one, true in (
        (told.recall, 8 / 10), (told.precision, 8 / 10), (told.prevalence, 10 / 99),
        (told.false_alarms, 2 / 89), (told.unusable, 1 / 100),
    ):  # fmt: skip
        assert (one.value, one.low, one.high) == pytest.approx((true, true, true))


def test_images_that_nobody_can_name_count_neither_as_found_nor_as_others():
    told = figures([Counted(10, 10, (1,) * 4, (1,) * 5, True), Counted(90, 90, (1,), (), False)])
    assert told.precision.value == pytest.approx(4 / 5)
    assert told.recall.value == pytest.approx(4 / 5)
    assert told.unusable.value == pytest.approx(5 / 100)


def test_a_class_that_the_model_calls_nowhere_has_recall_0_and_no_precision():
    told = figures([Counted(1000, 100, (10.0, 10.0), (), False)])
    assert told.recall.value == 0 and told.recall.high == 0
    assert told.precision.value is None and (told.precision.low, told.precision.high) == (0, 1)
    assert told.prevalence.value == pytest.approx(0.02)
    assert told.prevalence.low < 0.02 < told.prevalence.high


def missed(useful: float, seed: int, repetitions: int) -> dict[str, np.ndarray]:
    """How often an interval's ends lie on the wrong side of the truth: ``{figure: (low, high)}``.

    An archive of 3,000 images with 60 of the class, of which the model calls half so; how far down the others
    stand in its order depends on ``useful``, 0 for anywhere.
    """
    rng = np.random.default_rng(seed)
    size, there = 3000, 60
    wrong: dict[str, list[tuple[bool, bool]]] = {key: [] for key in Figures.__dataclass_fields__}
    for _ in range(repetitions):
        wanted = np.arange(size) < there
        score = np.where(wanted, rng.beta(1 + 5 * useful, 3, size), rng.beta(1, 3 + 5 * useful, size))
        score[: there // 2] = rng.uniform(0.6, 1, there // 2)
        called = score > 0.55
        p = np.column_stack([1 - score, score])
        p[called == (p.argmax(1) == 0)] = [0.4, 0.6]
        answers = []
        for part in strata(p, [1], 300):
            chosen, weights = drawn(part, rng)
            answers.append(
                Counted(part.size, part.labels, tuple(weights[wanted[chosen]]), (), part.called == 1)
            )
        named, told = p.argmax(1) == 1, figures(answers)
        truth = {
            "recall": named[wanted].mean(), "false_alarms": named[~wanted].mean(),
            "prevalence": wanted.mean(), "precision": wanted[named].mean(), "unusable": 0.0,
        }  # fmt: skip
        for key, true in truth.items():
            one = getattr(told, key)
            wrong[key].append((one.low > true + 1e-9, one.high < true - 1e-9))
    return {key: np.mean(found, axis=0) for key, found in wrong.items()}


@pytest.mark.slow
@pytest.mark.parametrize("useful", [0.0, 0.3, 1.0])
def test_intervals_hold_for_a_model_whose_order_is_worth_something_and_for_one_whose_is_not(useful):
    """In 1000 lists at most 25 may lie wrong at either end; 41 are within chance (p < 0.001)."""
    for key, (low, high) in missed(useful, seed=5, repetitions=1000).items():
        assert low <= 0.041 and high <= 0.041, key


def test_intervals_hold_where_the_model_misses_images_anywhere():
    """In 80 lists at most 2 may lie wrong at either end; 7 are within chance (p < 0.001)."""
    for key, (low, high) in missed(0.0, seed=3, repetitions=80).items():
        assert low <= 7 / 80 and high <= 7 / 80, key
