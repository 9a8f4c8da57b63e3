import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clinical_qkt.statistics.class_statistics import (
    ClassStatistics,
    Moments,
    PrivateSum,
    agreement,
    class_statistics,
    pooled,
)


def features(n: int, seed: int, shift: float = 0.0, width: int = 6) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, width, generator=generator, dtype=torch.float64) + shift


@given(st.lists(st.integers(0, 9), min_size=1, max_size=6), st.floats(-1e6, 1e6))
@settings(deadline=None)
def test_one_pass_in_batches_gives_numpys_mean_and_covariance(sizes, offset):
    batches = [features(n, i, offset, 3) for i, n in enumerate(sizes)]
    whole = torch.cat(batches)
    moments = Moments(3)
    for batch in batches:
        moments.update(batch)
    found = moments.statistics()
    assert found.count == len(whole)
    if len(whole) > 1:
        assert np.allclose(found.mean, whole.mean(0), rtol=1e-12, atol=1e-9)
        assert np.allclose(found.covariance, np.cov(whole.numpy().T), rtol=1e-6, atol=1e-6)


def test_pooling_exact_answers_weighs_by_counts():
    a, b = class_statistics(features(30, 1)), class_statistics(features(90, 2))
    both = pooled([a, b])
    assert both.count == 120 and both.kind == "covariance"
    assert torch.allclose(both.mean, (a.mean * 30 + b.mean * 90) / 120)
    assert torch.allclose(both.covariance, (a.covariance * 30 + b.covariance * 90) / 120)


def test_pooling_private_answers_weighs_nearly_by_the_square_of_counts():
    def answer(count, value):
        return ClassStatistics(count, torch.full((2,), value, dtype=torch.float64), noise=40 / count)

    both = pooled([answer(100, 0.0), answer(300, 1.0)])
    assert float(both.mean[0]) == pytest.approx(0.9, abs=0.02)
    assert both.noise < min(40 / 300, 40 / 100) and both.kind == "private_mean"


def test_pooling_takes_the_covariance_from_whoever_gave_one():
    full = class_statistics(features(50, 1))
    mean = class_statistics(features(50, 2)).reduced("mean")
    diagonal = class_statistics(features(50, 3)).reduced("diagonal")
    assert torch.equal(pooled([full, mean]).covariance, full.covariance)
    assert pooled([full, diagonal]).kind == "covariance"
    assert torch.equal(pooled([mean, diagonal]).covariance, full.covariance) is False
    assert pooled([mean, diagonal]).kind == "diagonal" and pooled([mean, mean]).kind == "mean"


OWN = [class_statistics(features(200, 10 + i, shift)) for i, shift in enumerate((0.0, 4.0))]


def flags(*parts: ClassStatistics) -> list[bool]:
    return [a.far_off for a in agreement(parts, OWN)]


def test_sites_that_agree_are_not_flagged_though_they_differ_a_little():
    assert flags(*(class_statistics(features(80, 20 + i, -3 + 0.2 * i)) for i in range(4))) == [False] * 4


@pytest.mark.parametrize("harm", ["mirrored", "scaled", "another class"])
def test_one_site_that_does_harm_is_flagged_among_three(harm):
    good = [class_statistics(features(80, 20 + i, -3.0)) for i in range(2)]
    bad = class_statistics(features(80, 30, -3.0))
    if harm == "mirrored":
        bad = ClassStatistics(bad.count, -bad.mean, bad.covariance)
    elif harm == "scaled":
        bad = ClassStatistics(bad.count, bad.mean * 5, bad.covariance * 25)
    else:
        bad = class_statistics(features(80, 31, 4.0))
    assert flags(*good, bad) == [False, False, True]


def test_of_two_that_disagree_both_are_flagged_since_nobody_can_tell_which():
    a, b = (class_statistics(features(80, 20 + i, s)) for i, s in enumerate((-3.0, 3.0)))
    assert flags(a, b) == [True, True]


def test_a_single_site_is_flagged_for_a_covariance_that_cannot_be():
    good = class_statistics(features(80, 20, -3.0))
    assert flags(good) == [False]
    assert flags(ClassStatistics(80, good.mean, good.covariance * 100)) == [True]


def test_noise_that_was_added_on_purpose_is_not_taken_for_disagreement():
    generator = torch.Generator().manual_seed(0)
    parts = []
    for i in range(3):
        noise = torch.randn(6, generator=generator, dtype=torch.float64)
        mean = class_statistics(features(80, 20 + i, -3.0)).mean
        parts.append(ClassStatistics(80, mean + 2 * noise, noise=2.0))
    assert flags(*parts) == [False] * 3


def private(count: int, value: float, axes: int, noise: float = 1.0) -> PrivateSum:
    return PrivateSum(torch.full((axes,), count * value, dtype=torch.float64), float(count), noise, 0.0)


def test_private_answers_are_compared_in_the_axes_that_they_tell():
    good = [private(200, -3.0, 4) for _ in range(2)]
    assert flags(*good, private(200, -3.0, 4)) == [False] * 3
    assert flags(*good, private(200, 4.0, 4)) == [False, False, True]
    exact = class_statistics(features(80, 20, -3.0))
    assert flags(exact, good[0]) == [False, False] and flags(exact, private(200, 4.0, 4)) == [True, True]


def test_the_first_features_are_cut_out_of_mean_and_covariance():
    whole = class_statistics(features(50, 1))
    for kind in ("covariance", "diagonal", "mean"):
        cut = whole.reduced(kind).first(2)
        assert cut.kind == kind and torch.equal(cut.mean, whole.mean[:2])
    assert torch.equal(whole.first(2).covariance, whole.covariance[:2, :2])
    assert torch.equal(whole.first(99).covariance, whole.covariance)
