"""All levels together tell no more of a bit than the highest: counted over every series that can come out."""

from __future__ import annotations

import itertools
import math

import pytest

from clinical_qkt.privacy.randomised_response import chance


def probability(told: tuple[bool, ...], levels: tuple[float, ...], known: bool) -> float:
    """Of one series of answers, in the order in which they were asked for."""
    before: dict[float, bool] = {}
    found = 1.0
    for answer, level in zip(told, levels, strict=True):
        p = chance(known, level, before)
        found *= p if answer else 1 - p
        before[level] = answer
    return found


@pytest.mark.parametrize("levels", list(itertools.permutations((0.2, 0.5, 1.0, 1.5))))
def test_in_whatever_order_levels_come_all_together_tell_as_much_as_the_highest(levels):
    series = list(itertools.product((True, False), repeat=len(levels)))
    ratios = [probability(s, levels, True) / probability(s, levels, False) for s in series]
    assert max(ratios) == pytest.approx(math.exp(max(levels)))
    for place, level in enumerate(levels):  # and each alone as much as it says
        right = sum(probability(s, levels, True) for s in series if s[place])
        assert right == pytest.approx(1 / (1 + math.exp(-level)))


def test_levels_too_small_for_a_number_tell_nothing_and_do_not_fail():
    assert chance(True, 5e-324, {}) == 0.5 and chance(True, 5e-324, {1e-323: True}) == 0.5
    assert chance(True, 100.0, {5e-324: False}) == 1.0
