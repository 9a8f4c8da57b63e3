"""What a sweeper does where one site has ended a sweep for all; FLARE's session is played."""

from __future__ import annotations

import pytest

pytest.importorskip("nvflare", reason='NVIDIA FLARE is not installed: pip install "clinical-qkt[federation]"')

from clinical_qkt.exchange.carriers.flare import submit
from clinical_qkt.exchange.carriers.flare.outcome import Swept
from tests.exchange.carriers.flare.parcels import A, B, C


@pytest.fixture
def runs(monkeypatch):
    """The sites of each job; hospital_b's process ends in each, before or after others have answered."""
    done: list[list[str]] = []

    def run(_, sites, *__):
        done.append(sites)
        if B not in sites:
            return Swept(tuple(sites))
        return Swept(tuple(s for s in sites if s == C), tuple(s for s in sites if s != C), cut_off=True)

    monkeypatch.setattr(submit, "_run", run)
    return done


def test_those_that_had_not_answered_are_tried_singly_and_the_one_that_it_was_is_named(runs):
    assert submit._served(None, [A, B, C], 5, 10) == Swept((A, C), (B,), cut_off=True)
    assert runs == [[A, B, C], [A, C], [B, C]]


def test_of_many_that_may_have_been_it_none_is_tried(runs):
    many = [f"hospital_{n}" for n in range(9)]
    assert submit._served(None, [*many, B, C], 5, 10) == Swept((C,), (*many, B), cut_off=True)
    assert runs[1:] == [[C]]


def test_a_sweep_that_came_to_its_end_is_one(runs):
    assert submit._served(None, [A, C], 5, 10) == Swept((A, C)) and len(runs) == 1
