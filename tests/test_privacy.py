import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clinical_qkt.composition import composed_epsilon
from clinical_qkt.privacy import (
    COUNT_WEIGHT,
    Guarantee,
    PatientSums,
    clipped,
    private_mean,
    system_noise,
)

ONE = Guarantee(1.0, 1e-5)
numbers = st.floats(allow_nan=True, allow_infinity=True, width=64)


def silent(n: int) -> torch.Tensor:
    return torch.zeros(n, dtype=torch.float64)


@given(st.lists(st.lists(numbers, min_size=3, max_size=3), min_size=1, max_size=5), st.floats(0.01, 1e6))
@settings(deadline=None)
def test_nothing_that_an_extractor_gives_is_longer_than_the_radius(rows, radius):
    out = clipped(torch.tensor(rows, dtype=torch.float64), radius)
    assert torch.isfinite(out).all() and (out.norm(dim=1) <= radius * (1 + 1e-9)).all()


def test_short_features_stay_and_long_ones_keep_their_direction():
    out = clipped(torch.tensor([[3.0, 4.0], [30.0, 40.0], [math.nan, 1.0]]), 10.0)
    assert out.tolist() == [[3.0, 4.0], [6.0, 8.0], [0.0, 0.0]]


@given(st.lists(st.tuples(st.sampled_from("abc"), numbers, numbers), min_size=1, max_size=20))
@settings(deadline=None)
def test_one_patient_moves_the_sum_by_the_radius_at_most_however_many_images(images):
    def total(rows):
        sums = PatientSums(2, 5.0)
        for who, x, y in rows:
            sums.update(torch.tensor([[x, y]], dtype=torch.float64), [who])
        return sums.contributions()

    everybody = total(images)
    without = total([i for i in images if i[0] != "a"])
    assert len(everybody) - len(without) in (0, 1)
    assert float((everybody.sum(0) - without.sum(0)).norm()) <= 5.0 + 1e-9


def test_without_noise_the_answer_is_the_mean_over_patients_not_over_images():
    sums = PatientSums(1, 10.0)
    sums.update(torch.tensor([[1.0], [3.0], [8.0]]), ["a", "a", "b"])
    found = private_mean(sums.contributions(), 10.0, ONE, 2, silent)
    assert found is not None and found.mean.tolist() == [5.0] and found.count == 2


def test_the_noise_is_what_the_guarantee_asks_for():
    rows = torch.zeros(100, 4, dtype=torch.float64)
    source = torch.Generator().manual_seed(0)
    found = [
        private_mean(rows, 2.0, ONE, 2, lambda n: torch.randn(n, generator=source, dtype=torch.float64))
        for _ in range(1500)
    ]
    sums = torch.stack([f.mean * f.count for f in found if f is not None])
    expected = ONE.noise_multiplier * math.hypot(2.0, COUNT_WEIGHT * 2.0)
    assert float(sums.std()) == pytest.approx(expected, rel=0.03)
    counts = torch.tensor([float(f.count) for f in found if f is not None])
    assert float(counts.std()) == pytest.approx(expected / (COUNT_WEIGHT * 2.0), rel=0.06)


def test_whether_there_is_an_answer_depends_on_the_noised_count():
    rows = torch.zeros(21, 2, dtype=torch.float64)

    def down(n):
        return torch.tensor([0.0] * (n - 1) + [-1.0], dtype=torch.float64)

    assert private_mean(rows, 1.0, ONE, 20, silent) is not None
    assert private_mean(rows, 1.0, ONE, 20, down) is None
    assert private_mean(rows[:0], 1.0, ONE, 2, silent) is None


def test_calibration_and_composition_agree_with_the_theory_of_gaussian_mechanisms():
    sigma = ONE.noise_multiplier
    assert sigma == pytest.approx(3.7306, abs=1e-3)  # Balle and Wang's algorithm, at (1, 1e-5)
    assert composed_epsilon([], 1e-5) == 0
    assert composed_epsilon([sigma], 1e-5) == pytest.approx(1.0, abs=1e-3)
    # k Gaussian mechanisms are one with sigma / sqrt(k)
    two = composed_epsilon([sigma, sigma], 1e-5)
    assert two == pytest.approx(composed_epsilon([sigma / math.sqrt(2)], 1e-5), abs=1e-3) and 1.4 < two < 2


def test_the_systems_noise_is_normal_and_never_the_same():
    a, b = system_noise(4000), system_noise(4000)
    assert (
        not torch.equal(a, b) and abs(float(a.mean())) < 0.08 and float(a.std()) == pytest.approx(1, abs=0.06)
    )
