import math

import numpy as np
import pytest
import torch
from dp_accounting.pld import privacy_loss_mechanism
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import fftconvolve
from scipy.stats import norm

from clinical_qkt.privacy.composition import composed_epsilon
from clinical_qkt.privacy.mechanisms import (
    COUNT_STEPS,
    FINE,
    STEPS,
    Guarantee,
    PatientSums,
    clipped,
    discrete_noise,
    private_release,
    rounded_noise,
    system_noise,
    whole,
)

ONE = Guarantee(1.0, 1e-5)
numbers = st.floats(allow_nan=True, allow_infinity=True, width=64)


def silent(sigma: int, n: int) -> list[int]:
    return [0] * n


def sums_of(rows, radius=5.0, features=2) -> PatientSums:
    sums = PatientSums(features, radius)
    for who, *values in rows:
        sums.update(torch.tensor([values], dtype=torch.float64), [who])
    return sums


@given(st.lists(st.lists(numbers, min_size=3, max_size=3), min_size=1, max_size=5), st.floats(1e-6, 1e6))
@settings(deadline=None)
def test_nothing_that_an_extractor_gives_is_longer_than_the_radius_in_whole_numbers(rows, radius):
    features = torch.tensor(rows, dtype=torch.float64)
    assert (clipped(features, radius).norm(dim=1) <= radius * (1 + 1e-9)).all()
    for steps in (STEPS, FINE):
        found = whole(features, radius, steps)
        assert found.dtype == torch.int64 and int(found.square().sum(1).max()) <= steps**2


def test_short_features_stay_and_long_ones_keep_their_direction():
    out = clipped(torch.tensor([[3.0, 4.0], [30.0, 40.0], [math.nan, 1.0]]), 10.0)
    assert out.tolist() == [[3.0, 4.0], [6.0, 8.0], [0.0, 0.0]]
    assert whole(torch.tensor([[3.0, -4.0], [30.0, -40.0]]), 10.0, STEPS).tolist() == [
        [307, -409],
        [614, -819],
    ]


@given(st.lists(st.tuples(st.sampled_from("abc"), numbers, numbers), min_size=1, max_size=20), st.randoms())
@settings(deadline=None)
def test_one_patient_moves_the_sum_by_the_radius_at_most_and_nobody_elses_part(images, chance):
    everybody = sums_of(images).contributions()
    without = sums_of([i for i in images if i[0] != "a"]).contributions()
    assert len(everybody) - len(without) in (0, 1)
    assert int((everybody.sum(0) - without.sum(0)).square().sum()) <= STEPS**2
    left = {tuple(r) for r in without.tolist()}
    assert left <= {tuple(r) for r in everybody.tolist()}
    chance.shuffle(images)
    assert sorted(sums_of(images).contributions().tolist()) == sorted(everybody.tolist())


def test_without_noise_the_answer_is_the_mean_over_patients_not_over_images():
    sums = sums_of([("a", 1.25), ("a", 3.75), ("b", 7.5)], radius=10.0, features=1)
    found = private_release(sums.contributions(), ONE, silent)
    assert found.total == [STEPS] and found.count == 2 * COUNT_STEPS
    read = found.read(10.0, ONE)
    assert read.total.tolist() == [10.0] and read.count == 2 and read.noise == ONE.sigma * 10 / STEPS


def test_a_contribution_that_is_too_long_or_no_whole_number_is_never_released():
    for rows in (torch.tensor([[STEPS, 1]]), torch.tensor([[0.5, 0.5]])):
        with pytest.raises(ValueError, match="whole steps"):
            private_release(rows, ONE, silent)


def test_there_is_an_answer_however_few_there_are():
    found = private_release(torch.zeros(0, 3, dtype=torch.int64), ONE)
    assert len(found.total) == 3 and all(type(n) is int for n in (*found.total, found.count))


def test_the_noise_is_whole_and_what_the_guarantee_asks_for():
    drawn = np.array(discrete_noise(ONE.sigma, 4000))
    assert drawn.dtype == np.int64 and drawn.std() == pytest.approx(ONE.sigma, rel=0.06)
    assert abs(drawn.mean()) < 5 * ONE.sigma / 4000**0.5 and set(drawn % 2) == {0, 1}
    small = np.array(discrete_noise(3, 6000))  # against the probabilities themselves
    mass = np.exp(-(np.arange(-40, 41) ** 2) / 18)
    expected = 6000 * (mass / mass.sum())[37:44]
    seen = [(small == k).sum() for k in range(-3, 4)]
    assert (((seen - expected) ** 2) / expected).sum() < 30
    assert discrete_noise(ONE.sigma, 8) != discrete_noise(ONE.sigma, 8)


@pytest.mark.parametrize("epsilon", [0.25, 1.0, 4.0, 20.0])
@pytest.mark.parametrize("delta", [1e-5, 1e-9])
def test_delta_over_the_lattice_is_no_more_than_promised(epsilon, delta):
    """A patient who moves the sum along one axis as far as may be, and the count."""
    sigma = Guarantee(epsilon, delta).sigma
    # The loss of both numbers together depends on 4 x + y alone, since 1,024 is 4 times 256.
    reach = np.arange(-9 * sigma, 9 * sigma + 1)
    mass = np.exp(-(reach.astype(float) ** 2) / (2 * sigma**2))
    mass /= mass.sum()
    apart = np.zeros(4 * (len(mass) - 1) + 1)
    apart[::4] = mass
    both = np.clip(fftconvolve(apart, mass), 0, None)
    along = COUNT_STEPS * (np.arange(len(both)) - len(both) // 2)
    length = STEPS**2 + COUNT_STEPS**2
    # With the patient x is x + v: its loss is (2 <v, x> + |v|^2) / 2 sigma^2
    loss = (2 * along + length) / (2 * sigma**2)
    found = float((both * np.clip(1 - np.exp(epsilon - loss), 0, None)).sum())
    assert 0.9 * delta < found <= delta


def test_delta_over_the_lattice_agrees_with_the_accounting_library_along_one_axis():
    exact = privacy_loss_mechanism.DiscreteGaussianPrivacyLoss(ONE.sigma, sensitivity=STEPS)
    alone = exact.get_delta_for_epsilon(1.0)
    ratio = STEPS / ONE.sigma
    continuous = norm.cdf(ratio / 2 - 1 / ratio) - math.e * norm.cdf(-ratio / 2 - 1 / ratio)
    assert alone == pytest.approx(continuous, rel=0.01) and alone <= 1e-5


def test_whole_noise_is_a_post_processing_of_continuous_noise_of_nearly_the_same_spread():
    """The sum over all whole numbers of a Gaussian of variance 4 hardly depends on where it stands."""
    from mpmath import exp, mp, mpf, nsum, pi, sqrt

    mp.dps = 60
    sums = [
        nsum(lambda z, at=at: exp(-((z - at) ** 2) / 8), [-mp.inf, mp.inf]) for at in (mpf(0), mpf(1) / 2)
    ]
    assert abs(sums[0] / sums[1] - 1) < mpf(10) ** -30
    assert abs(sums[0] / (2 * sqrt(2 * pi)) - 1) < mpf(10) ** -30


def test_calibration_and_composition_agree_with_the_theory_of_gaussian_mechanisms():
    sigma = ONE.noise_multiplier
    assert sigma == pytest.approx(3.7306, abs=1e-3)  # Balle and Wang's algorithm, at (1, 1e-5)
    assert ONE.sigma == math.ceil(sigma * math.hypot(STEPS, COUNT_STEPS))
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


def test_noise_of_a_simulation_is_whole_and_can_be_repeated():
    def drawn() -> list[int]:
        source = torch.Generator().manual_seed(3)
        noise = rounded_noise(lambda n: torch.randn(n, generator=source, dtype=torch.float64))
        return list(noise(100, 2000))

    assert drawn() == drawn() and np.std(drawn()) == pytest.approx(100, rel=0.06)
