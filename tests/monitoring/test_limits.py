"""Limits of counts, enumerated."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, fisher_exact

from clinical_qkt.monitoring.limits import against_counts, against_prevalence, most_against


@pytest.mark.parametrize("share", [0.002, 0.02, 0.1, 0.5, 0.97])
@pytest.mark.parametrize(("of", "images"), [(60, 30), (200, 50), (80, 160)])
def test_quiet_counts_are_outside_at_most_as_often_as_the_level_says(share, of, images):
    level, wrong, risen = 0.05, 0.0, 0.0
    counts = np.arange(images + 1)
    for before, likely in enumerate(binom.pmf(np.arange(of + 1), of, share)):
        if likely > 1e-9:
            low, high = against_counts(before, of, images, level)
            wrong += likely * binom.pmf(counts[(counts < low) | (counts > high)], images, share).sum()
            risen += likely * binom.sf(most_against(before, of, images, level), images, share)
    assert wrong <= level and risen <= level


def test_the_limits_are_where_fishers_test_says():
    low, high = against_counts(20, 200, 60, 0.02)

    def p(count, side):
        return fisher_exact([[count, 60 - count], [20, 180]], alternative=side).pvalue

    assert p(high, "greater") > 0.01 >= p(high + 1, "greater") and p(low, "less") > 0.01
    assert low == 0 or p(low - 1, "less") <= 0.01


def test_one_more_file_that_cannot_be_read_is_no_alarm_and_many_are():
    assert 1 <= most_against(0, 1000, 200, 0.001) < 8


def test_a_declared_prevalence_gives_limits_as_wide_as_the_test_images_are_few():
    few = against_prevalence(0.05, (9, 10), (1, 50), 200, 0.01)
    many = against_prevalence(0.05, (900, 1000), (100, 5000), 200, 0.01)
    assert few[0] <= many[0] < 200 * (0.05 * 0.9 + 0.95 * 0.02) < many[1] < few[1]
