import pytest

from clinical_qkt.audit import releases
from clinical_qkt.audit.releases import (
    TOGETHER,
    UNSHARED,
    audit_release,
    epsilon_of,
    extreme_case,
    last_bits,
    stated_and_broken,
)
from clinical_qkt.privacy.mechanisms import COUNT_STEPS, STEPS, Guarantee, Release
from clinical_qkt.query import private_look


def test_the_release_keeps_its_promise_and_one_with_half_the_noise_is_found_out():
    found = stated_and_broken(Guarantee(1.0, 1e-5), 2000)
    assert found["as it is"].at_least <= 1.0 < found["noise halved"].at_least
    assert found[TOGETHER].at_least <= 1.0 < found[UNSHARED].at_least
    # the attack is a good one: it comes near to what is promised
    assert 0.5 < found["as it is"].epsilon < 1.5


def test_the_shares_that_are_audited_are_those_of_a_response():
    assert sorted(releases.SHARES) == sorted(private_look.SHARES.values())


def test_an_exact_answer_is_told_apart_every_time():
    others, target = extreme_case(4, 30)

    def exact(rows):
        return Release(rows.sum(0).tolist(), COUNT_STEPS * len(rows))

    found = audit_release(exact, others, target, 400, 1e-5)
    assert found.power == 1 and found.alarms == 0 and found.at_least > 10


def test_the_extreme_case_is_as_far_out_as_clipping_lets_anybody_be():
    _, target = extreme_case(4, 3)
    assert target.tolist() == [STEPS, 0, 0, 0]


@pytest.mark.parametrize("epsilon", [0.25, 1.0])
def test_last_bits_prove_nothing_and_those_of_a_release_in_floating_point_are_found_out(epsilon):
    found = last_bits(Guarantee(epsilon, 1e-5), 8000)
    assert found["as it is"].delta == 0
    # hundreds of times what was promised
    assert found["in floating point"].delta > 200 * 1e-5


def test_a_coin_says_nothing():
    assert epsilon_of(0.5, 0.5, 1e-5) == 0 and epsilon_of(0.4, 0.6, 1e-5) == 0
