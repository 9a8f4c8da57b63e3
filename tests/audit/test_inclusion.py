import numpy as np
import pytest
import torch
from scipy.stats import beta, kstest, multivariate_t, norm

from clinical_qkt.audit import inclusion, membership
from clinical_qkt.privacy.mechanisms import STEPS, Guarantee, private_release, rounded_noise, whole
from clinical_qkt.statistics.class_statistics import class_statistics

KINDS = ("mean", "diagonal", "covariance")


def sample(count, features, seed):
    """Features of a class with correlations and a middle of its own; the first half are the members."""
    source = torch.Generator().manual_seed(seed)
    mix = torch.randn(features, features, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    mix = mix / features**0.5 / 2 + torch.eye(features, dtype=torch.float64)
    draws = torch.randn(2 * count, features, generator=source, dtype=torch.float64)
    return draws @ mix + 3, np.arange(2 * count) < count


def attacked(kind, count, features, seeds=10):
    """Scores and members of several answers together."""
    scores, members = [], []
    for seed in range(seeds):
        seen, mine = sample(count, features, seed)
        answer = class_statistics(seen[:count]).reduced(kind)
        scores.append(inclusion.inclusion_ratios(answer, seen))
        members.append(mine)
    return np.concatenate(scores), np.concatenate(members)


@pytest.mark.parametrize("rounding", [0, 4, -4])
@pytest.mark.parametrize("count", [20, 40, 44])
def test_a_covariance_of_hardly_more_images_than_features_names_every_image(count, rounding):
    seen, members = sample(count, 40, 1)
    answer = class_statistics(seen[:count])
    told = type(answer)(count + rounding, answer.mean, answer.covariance)
    assert membership.auc(inclusion.inclusion_ratios(told, seen), members) == 1


def test_each_kind_of_exact_answer_gives_members_away_and_more_the_more_it_tells():
    areas = [membership.auc(*attacked(kind, 60, 30)) for kind in KINDS]
    assert 0.65 < areas[0] < areas[1] < areas[2] and areas[2] > 0.85


@pytest.mark.parametrize(
    ("kind", "count", "features", "apart"),
    [("covariance", 300, 40, 40**1.5 / 2**0.5 / 300), ("mean", 300, 40, (40 / 300) ** 0.5)],
)
def test_what_an_answer_tells_falls_with_images_as_the_page_says(kind, count, features, apart):
    """Members and others are this many standard deviations apart: d^1.5 / (2^0.5 n), and (d / n)^0.5."""
    found = membership.auc(*attacked(kind, count, features))
    assert found == pytest.approx(norm.cdf(apart / 2**0.5), abs=0.03)
    assert round(inclusion.sensitivity(Guarantee(1.0, 1e-5)), 2) == 0.27  # what noise leaves of that


@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_made_of_strangers_gives_nobody_away(kind):
    scores = []
    for seed in range(10):
        seen, members = sample(60, 30, seed)
        answer = class_statistics(sample(60, 30, 100 + seed)[0][:60]).reduced(kind)
        scores.append((inclusion.inclusion_ratios(answer, seen), members))
    low, high = membership.auc_interval(scores, 200)
    assert low < 0.5 < high and high - low < 0.1


def test_the_ratio_of_a_covariance_does_not_hang_on_how_features_are_mapped():
    seen, _ = sample(50, 5, 3)
    mapped = seen @ torch.randn(5, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64) - 2
    one, other = (inclusion.inclusion_ratios(class_statistics(x[:50]), x) for x in (seen, mapped))
    assert np.allclose(one, other, atol=1e-3)


def test_the_densities_are_those_of_textbooks_up_to_a_constant():
    count, features = 30, 4
    seen, _ = sample(count, features, 0)
    mean, covariance = seen[:count].mean(0), torch.cov(seen[:count].T)
    scatter = (count - 1) * covariance.numpy()
    gap = (seen - mean).numpy()
    share = np.einsum("ni,ij,nj->n", gap, np.linalg.inv(scatter), gap)
    leverage = share * count / (count - 1)
    inside = leverage < 0.95
    within = beta.logpdf(leverage, features / 2, (count - features - 1) / 2)
    within -= (features / 2 - 1) * np.log(leverage)  # of a point, not of its distance
    shape = scatter * (count + 1) / (count * (count - features))
    outside = multivariate_t.logpdf(seen.numpy(), mean.numpy(), shape, df=count - features)
    exact = (within - outside)[inside]
    found = inclusion.of_covariance(seen - mean, covariance, count)[inside]
    assert np.ptp(found - exact) < 1e-6


def test_the_leverage_of_an_image_in_a_sample_has_a_beta_distribution():
    leverages = []
    for seed in range(300):
        seen, _ = sample(20, 3, seed)
        gap = seen[0] - seen[:20].mean(0)
        leverages.append(float(gap @ torch.linalg.inv(19 * torch.cov(seen[:20].T)) @ gap) * 20 / 19)
    assert kstest(leverages, beta(3 / 2, 16 / 2).cdf).pvalue > 0.01


@pytest.mark.parametrize("noise", [0.0, 0.4])
def test_the_ratio_of_a_mean_is_that_of_two_gaussians(noise):
    seen, _ = sample(25, 3, 2)
    mean = seen[:25].mean(0) + noise
    usual, variance = seen.mean(0).numpy(), seen.var(0).numpy()
    nearer = usual + (seen.numpy() - usual) / 25
    with_it = norm.logpdf(mean.numpy(), nearer, np.sqrt(variance * 24 / 25**2 + noise**2)).sum(1)
    without = norm.logpdf(mean.numpy(), usual, np.sqrt(variance / 25 + noise**2)).sum()
    assert np.ptp(inclusion.of_mean(seen - mean, 25, noise) - (with_it - without)) < 1e-6


def test_who_knows_everybody_else_subtracts_them_from_an_exact_mean():
    seen, members = sample(200, 8, 0)
    scores = inclusion.subtracted(seen[:200].mean(0), seen, members)
    assert (scores[members] > 0).all() and (scores[~members] < 0).all()


def games(share, epsilon=1.0, count=1500):
    """Private responses of images that stand out as far as can be, each tried by who knows all others."""
    guarantee, source = Guarantee(epsilon, 1e-5), torch.Generator().manual_seed(0)
    far = torch.zeros(2 * count, 4, dtype=torch.float64)
    far[:, 0] = 1e9
    rows, members = whole(far, 1.0, STEPS), np.arange(2 * count) < count
    noise = rounded_noise(lambda n: share * torch.randn(n, generator=source, dtype=torch.float64))
    releases = [private_release(rows[:count], guarantee, noise) for _ in rows]
    return guarantee, inclusion.others_known(releases, rows, members, guarantee), members


def test_of_a_private_answer_nobody_learns_more_than_is_promised_and_half_the_noise_is_found_out():
    guarantee, scores, members = games(1.0)
    low, _ = membership.auc_interval([(scores, members)], 200)
    assert low < inclusion.auc_at_most(guarantee) < membership.auc(scores, members) + 0.04
    assert membership.tpr_interval(scores, members, 0.01)[0] < inclusion.at_most(guarantee, 0.01)
    _, scores, members = games(0.5)
    low, _ = membership.auc_interval([(scores, members)], 200)
    assert low > inclusion.auc_at_most(guarantee)


@pytest.mark.parametrize("epsilon", [0.25, 1.0, 4.0])
def test_the_promise_in_rates_follows_from_epsilon_and_delta(epsilon):
    guarantee = Guarantee(epsilon, 1e-5)
    alarms = np.geomspace(1e-7, 0.5, 200)
    power = np.array([inclusion.at_most(guarantee, a) for a in alarms])
    assert (power <= np.exp(epsilon) * alarms + guarantee.delta).all()
    assert (power > alarms).all()


def test_a_private_answer_gives_members_away_as_little_as_a_coin_does():
    seen, members = sample(60, 8, 0)
    guarantee, source = Guarantee(0.1, 1e-5), torch.Generator().manual_seed(0)
    rows = whole(seen, 5.0, STEPS)
    noise = rounded_noise(lambda n: torch.randn(n, generator=source, dtype=torch.float64))
    releases = [private_release(rows[:60], guarantee, noise) for _ in range(30)]
    scores = [(inclusion.of_release(r, rows, guarantee), members) for r in releases]
    low, high = membership.auc_interval(scores, 200)
    assert 0.4 < low < 0.5 < high < 0.6
