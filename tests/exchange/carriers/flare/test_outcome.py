"""Whom a sweep reached, as the relay's log tells."""

from __future__ import annotations

from clinical_qkt.exchange.carriers.flare.outcome import CUT_OFF, MISSED, REACHED, Swept, swept
from tests.exchange.carriers.flare.parcels import A, B, C


def test_the_last_line_counts_and_sites_that_it_does_not_name_were_missed():
    log = f"10:00 - {REACHED}{B}\n10:01 - {REACHED}{A}, {C}\n10:01 - {MISSED}{B}\n"
    assert swept(log, [C, A, B]) == Swept((A, C), (B,))


def test_a_log_without_such_a_line_is_of_a_sweep_that_reached_nobody():
    assert swept("the job failed", [A, B]) == Swept((), (A, B))
    assert swept(f"10:00 - {REACHED}", [A]) == Swept((), (A,))


def test_a_sweep_that_flare_has_ended_says_so():
    assert swept(f"10:00 - {REACHED}{A}\n10:00 - {CUT_OFF}\n", [A, B]) == Swept((A,), (B,), cut_off=True)
