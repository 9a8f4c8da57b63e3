"""The interval of the calibration error: seldom is an end on the wrong side of the truth."""

import numpy as np
import pytest

from clinical_qkt.evidence.calibration_error import within


def binned(stated):
    return np.minimum((stated * 10).astype(int), 9)


@pytest.mark.parametrize("n", [5, 30])
@pytest.mark.parametrize("off", [0.0, 0.2])
def test_the_truth_lies_beyond_each_end_in_few_of_many_draws(n, off):
    rng, beyond = np.random.default_rng(n), np.zeros(2)
    for _ in range(60):
        stated = rng.uniform(0.4 + off, 0.99, n)
        low, high = within(stated, rng.random(n) < stated - off, binned(stated))
        beyond += low > off + 1e-9, high < off - 1e-9
    assert (beyond / 60 <= 0.06).all()


def test_a_few_right_answers_do_not_show_that_stated_probabilities_are_right():
    """A bootstrap would draw right answers alone, and end at what was measured."""
    stated, right = np.full(8, 0.99), np.ones(8, bool)
    low, high = within(stated, right, binned(stated))
    assert low == 0 and high > 0.3


def test_many_images_of_one_patient_tell_hardly_anything():
    stated, right = np.full(200, 0.7), np.arange(200) % 10 < 7
    by_image = within(stated, right, binned(stated))
    by_patient = within(stated, right, binned(stated), np.zeros(200, int))
    assert by_image[1] < 0.12 and by_patient[1] > 0.6


def test_a_model_that_is_surely_off_is_told_so():
    stated, right = np.full(400, 0.95), np.arange(400) % 2 == 0
    low, high = within(stated, right, binned(stated))
    assert 0.38 < low < 0.45 < high < 0.52
