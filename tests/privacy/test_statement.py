"""Numbers on a card."""

from __future__ import annotations

from clinical_qkt.privacy.statement import FEWEST, coarse


def test_counts_on_a_card_have_one_digit_and_small_ones_are_not_told_apart():
    assert len({coarse(n) for n in range(FEWEST)}) == 1
    for count in (*range(FEWEST, 1000), 1234, 98_765):
        told = coarse(count)
        assert told and len(str(told).rstrip("0")) == 1 and told <= count < 2 * told
