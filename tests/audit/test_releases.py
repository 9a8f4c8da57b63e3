import pytest
import torch

from clinical_qkt.audit.releases import audit_release, epsilon_of, extreme_case, stated_and_broken
from clinical_qkt.privacy import Guarantee
from clinical_qkt.statistics import ClassStatistics


def test_the_release_keeps_its_promise_and_one_with_half_the_noise_is_found_out():
    found = stated_and_broken(Guarantee(1.0, 1e-5), 2000)
    assert found["as it is"].at_least <= 1.0 < found["noise halved"].at_least
    # the attack is a good one: it comes near to what is promised
    assert 0.5 < found["as it is"].epsilon < 1.5


def test_an_exact_answer_is_told_apart_every_time():
    others, target = extreme_case(4, 30, 5.0)

    def exact(rows):
        return ClassStatistics(len(rows), rows.mean(0))

    found = audit_release(exact, others, target, 400, 1e-5)
    assert found.power == 1 and found.alarms == 0 and found.at_least > 10


def test_the_extreme_case_is_as_far_out_as_clipping_lets_anybody_be():
    _, target = extreme_case(4, 3, 5.0)
    assert float(target.norm()) == pytest.approx(5.0) and torch.isfinite(target).all()


def test_a_coin_says_nothing():
    assert epsilon_of(0.5, 0.5, 1e-5) == 0 and epsilon_of(0.4, 0.6, 1e-5) == 0
