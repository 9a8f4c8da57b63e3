"""What the intervals promise, enumerated: no random draw decides whether they hold."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import gammaln
from scipy.stats import beta, binom, binomtest

from clinical_qkt.evidence import intervals

LEVEL, TAIL = 0.95, 0.025 + 1e-9


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 400), st.data())
def test_a_shares_interval_is_scipys_exact_one(n, data):
    k = data.draw(st.integers(0, n))
    exact = binomtest(k, n).proportion_ci(LEVEL, method="exact")
    assert intervals.proportion(k, n) == pytest.approx([exact.low, exact.high], abs=1e-9)


def test_of_no_image_there_is_no_interval():
    assert intervals.proportion(0, 0) is None
    assert intervals.share(np.zeros(0, bool)) is None
    assert intervals.paired(np.zeros(0, bool), np.zeros(0, bool)) is None


def test_for_every_number_of_images_from_5_to_200_the_ends_are_on_the_wrong_side_of_the_truth_seldom():
    """Where a truth lies just beyond an end, most draws err; every end of every interval is tried so."""
    worst, covered = 0.0, 1.0
    for n in range(5, 201):
        k = np.arange(n + 1)
        low = np.where(k > 0, beta.ppf(0.025, np.maximum(k, 1e-9), n - k + 1), 0.0)
        high = np.where(k < n, beta.ppf(0.975, k + 1, np.maximum(n - k, 1e-9)), 1.0)
        for place in (0, n // 3, n):  # it is these that the function gives
            assert intervals.proportion(int(place), n) == pytest.approx([low[place], high[place]])
        truths = np.concatenate([low - 1e-9, high + 1e-9, np.linspace(0.001, 0.999, 25)])
        truths = truths[(truths > 0) & (truths < 1)][:, None]
        chance = binom.pmf(k, n, truths)
        above, below = (chance * (low > truths)).sum(1), (chance * (high < truths)).sum(1)
        worst, covered = max(worst, above.max(), below.max()), min(covered, (1 - above - below).min())
    assert worst <= TAIL
    assert covered >= LEVEL - 1e-9
    assert worst > 0.02  # they are not so wide that nothing could fail


def trinomial(n, p, q, b, c):
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = [np.where(x > 0, x * np.log(s), 0.0) for x, s in ((b, p), (c, q), (n - b - c, 1 - p - q))]
    return np.exp(gammaln(n + 1) - gammaln(b + 1) - gammaln(c + 1) - gammaln(n - b - c + 1) + sum(parts))


@pytest.mark.parametrize("n", [5, 12, 30, 64])
def test_a_paired_interval_covers_the_difference_for_every_share_of_worse_and_better_images(n):
    grid = np.array([(b, c) for b in range(n + 1) for c in range(n + 1 - b)])
    ends = np.array([paired_of(n, b, c) for b, c in grid])
    b, c = grid.T
    worst = 0.0
    for p in (0.0, 0.01, 0.03, 0.1, 0.2, 0.35, 0.5, 0.7):
        for q in (0.0, 0.01, 0.03, 0.1, 0.2, 0.3, 0.49):
            if p + q < 1:
                chance = trinomial(n, p, q, b, c)
                wrong = (
                    chance[ends[:, 0] > p - q + 1e-12].sum(), chance[ends[:, 1] < p - q - 1e-12].sum()
                )  # fmt: skip
                worst = max(worst, *wrong)
    assert 0.005 < worst <= TAIL


def paired_of(n, worse, better):
    p, q = worse / n, better / n
    ends = intervals.proportion(worse, n), intervals.proportion(better, n)
    return intervals.difference(p, q, *ends, n)


def test_the_paired_interval_sees_which_images_changed_and_not_only_how_many_are_right():
    before = np.array([True] * 50 + [False] * 50)
    same, swapped = before.copy(), ~before
    assert intervals.paired(before, same) == pytest.approx(paired_of(100, 0, 0))
    low, high = intervals.paired(before, swapped)
    assert low < -0.1 < 0.1 < high
    assert intervals.paired(before, before & (np.arange(100) > 9)) == pytest.approx(paired_of(100, 10, 0))


def test_ten_images_of_one_patient_say_no_more_than_one_if_they_agree():
    hits, patients = np.ones(60, bool), np.repeat(np.arange(6), 10)
    by_image, by_patient = intervals.share(hits), intervals.share(hits, patients)
    assert by_patient[0] < intervals.proportion(6, 6)[0] + 1e-9 < by_image[0]
    assert intervals.share(hits, np.arange(60)) == by_image
    assert intervals.effective_size(hits, np.zeros(60)) == 1


def test_images_of_a_patient_that_differ_as_much_as_others_count_nearly_each():
    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(100), 4)
    alike = np.repeat(rng.random(100) < 0.5, 4)
    apart = rng.random(400) < 0.5
    assert intervals.effective_size(alike, patients) < 110
    assert intervals.effective_size(apart, patients) > 330


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=1, max_size=40))
def test_an_interval_by_patient_holds_the_share_and_is_never_narrower_than_that_by_image(rows):
    hits, patients = (np.array(x) for x in zip(*rows, strict=True))
    low, high = intervals.share(hits, patients)
    assert 0 <= low <= hits.mean() <= high <= 1
    narrow = intervals.share(hits)
    assert high - low >= narrow[1] - narrow[0] - 1e-9


@pytest.mark.parametrize(("patients", "images", "alike"), [(20, 5, 0.1), (20, 5, 0.6), (12, 10, 0.95)])
def test_intervals_by_patient_cover_where_a_patients_images_resemble_one_another(patients, images, alike):
    rng, truth, wrong = np.random.default_rng(3), 0.1, np.zeros(2)
    spread = (1 - alike) / alike
    who = np.repeat(np.arange(patients), images)
    for _ in range(300):
        rates = rng.beta(truth * spread, (1 - truth) * spread, patients)
        low, high = intervals.share(rng.random(len(who)) < rates[who], who)
        wrong += (low > truth, high < truth)
    assert (wrong / 300 <= 0.05).all()


def test_the_mean_of_small_shares_covers_and_needs_fewer_images_than_its_parts():
    n, truth = np.array([40, 80, 400]), np.array([0.05, 0.01, 0.02])
    counts = np.random.default_rng(0).binomial(n, truth, (2000, 3))
    found = {tuple(x): intervals.mean_share(x, n) for x in np.unique(counts, axis=0).tolist()}
    ends = np.array([found[tuple(x)] for x in counts.tolist()])
    assert ((ends[:, 0] > truth.mean()).mean(), (ends[:, 1] < truth.mean()).mean()) < (0.035, 0.035)
    apart = intervals.mean([0.0] * 5, [intervals.proportion(0, 64)] * 5)
    assert intervals.mean_share([0] * 5, [64] * 5)[1] < 0.5 * apart[1]


def test_the_interval_of_a_mean_of_one_is_its_own():
    assert intervals.mean([0.9], [[0.8, 0.95]]) == pytest.approx([0.8, 0.95])


def test_a_bootstrap_draws_patients_whole_and_gives_the_same_twice():
    values = np.repeat([0.0, 1.0] * 10, 5)
    patients = np.repeat(np.arange(20), 5)

    def drawn(times):
        return float((values * times).sum() / times.sum())

    by_image, by_patient = (intervals.resampled(drawn, 100, who) for who in (None, patients))
    assert by_patient[1] - by_patient[0] > 1.8 * (by_image[1] - by_image[0])
    assert intervals.resampled(drawn, 100) == by_image


@pytest.mark.parametrize(("alone", "large"), [(50, (200,)), (20, (40, 40)), (9, (50,))])
def test_where_a_patient_or_two_have_most_images_the_ends_are_seldom_on_the_wrong_side(alone, large):
    """All images of a patient right, or all wrong: enumerated over how many patients with one image are
    right, and which of those with many.
    """
    sizes = [1] * alone + list(large)
    patients = np.repeat(np.arange(len(sizes)), sizes)
    found = []
    for right in range(alone + 1):
        for good in range(len(large) + 1):
            hits = np.repeat(np.arange(len(sizes)) < right, sizes)
            hits[alone : alone + sum(large[:good])] = True
            found.append((right, good, *intervals.share(hits, patients)))
    right, good, low, high = np.array(found).T
    for truth in (0.05, 0.3, 0.5, 0.9, 0.97):
        chance = binom.pmf(right, alone, truth) * binom.pmf(good, len(large), truth)
        assert chance.sum() == pytest.approx(1)
        assert max(chance[low > truth].sum(), chance[high < truth].sum()) <= 0.05, truth
