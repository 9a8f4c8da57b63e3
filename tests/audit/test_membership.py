import numpy as np
import pytest
import torch
from scipy.stats import norm

from clinical_qkt.audit import membership as m

RNG = np.random.default_rng(0)


def game(shadows, images=4000, effect=2.0, spread=1.0, seed=0):
    """Confidences with known Gaussians: an image's own level, and ``effect`` more if it was trained on."""
    rng = np.random.default_rng(seed)
    level = rng.normal(0, 5, images)
    member = np.arange(images) < images // 2
    included = np.array([rng.permutation(shadows) < shadows // 2 for _ in range(images)]).T
    draw = lambda mine: level + effect * mine + rng.normal(0, spread, mine.shape)  # noqa: E731
    return draw(member), draw(included), included, member, level


def test_confidences_are_the_logit_of_the_softmax_and_stay_finite():
    logits, labels = torch.randn(50, 5, dtype=torch.float64), torch.arange(50) % 5
    p = logits.softmax(1)[torch.arange(50), labels]
    assert np.allclose(m.confidences(logits.numpy(), labels.numpy()), torch.log(p / (1 - p)))
    assert m.confidences([[900.0, 0.0], [-900.0, 0.0]], [0, 0]).tolist() == [900, -900]


def test_loss_scores_are_minus_the_cross_entropy():
    logits, labels = torch.randn(50, 5, dtype=torch.float64), torch.arange(50) % 5
    loss = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
    assert np.allclose(m.loss_scores(m.confidences(logits.numpy(), labels.numpy())), -loss)


@pytest.mark.parametrize("own_spread", [True, False])
def test_the_likelihood_ratio_agrees_with_the_closed_form(monkeypatch, own_spread):
    """With a known level l the best ratio is log N(x; l + 2, 1) - log N(x; l, 1) = 2 (x - l) - 2."""
    monkeypatch.setattr(m, "OWN_SPREAD_FROM", 0 if own_spread else 10**6)
    target, seen, included, _, level = game(8000, 200)
    exact = 2 * (target - level) - 2
    assert np.allclose(exact, norm.logpdf(target, level + 2, 1) - norm.logpdf(target, level, 1))
    assert np.abs(m.likelihood_ratios(target, seen, included) - exact).mean() < 0.1


def test_the_likelihood_ratio_comes_near_the_best_attack_and_the_threshold_does_not():
    target, seen, included, member, _ = game(32)
    best = float(norm.cdf(2 / np.sqrt(2)))  # the area of two Gaussians two spreads apart: 0.921
    assert m.auc(m.likelihood_ratios(target, seen, included), member) == pytest.approx(best, abs=0.02)
    assert m.auc(m.loss_scores(target), member) < 0.7  # images differ in how easy they are


def test_a_spread_of_ones_own_of_few_shadow_models_would_be_worse(monkeypatch):
    target, seen, included, member, _ = game(6)
    shared = m.tpr_at(m.likelihood_ratios(target, seen, included), member, 0.01)
    monkeypatch.setattr(m, "OWN_SPREAD_FROM", 0)
    own = m.tpr_at(m.likelihood_ratios(target, seen, included), member, 0.01)
    assert shared > 2 * own


def test_what_few_shadow_models_say_of_one_image_is_drawn_to_what_they_say_of_all():
    """Four models with each image and four without: where every image gains alike, the gain's own estimate
    is noise, and the plain ratio (Carlini et al.'s) is worse for it."""
    target, seen, included, member, _ = game(8, effect=0.5)
    mean_in = np.where(included, seen, 0).sum(0) / 4
    mean_out = np.where(included, 0, seen).sum(0) / 4
    plain = norm.logpdf(target, mean_in, 1) - norm.logpdf(target, mean_out, 1)
    assert m.auc(m.likelihood_ratios(target, seen, included), member) > m.auc(plain, member) + 0.02


def test_who_was_never_trained_on_is_not_told_apart():
    target, seen, included, member, _ = game(8, effect=2.0)
    stranger = game(8, effect=0.0)[0]
    assert all(m.auc(scores, member) > 0.8 for scores in m.ratios(target, seen, included).values())
    for scores in (*m.ratios(stranger, seen, included).values(), m.loss_scores(stranger)):
        low, high = m.auc_interval([(scores, member)], 200)
        assert low < 0.5 < high and high - low < 0.06


def beaten_pair_by_pair(target, seen, included, z, gamma, factor):
    """The pairwise ratio as its authors write it down: every x against every z."""

    def ratio(i):
        p = 1 / (1 + np.exp(-seen[:, i]))
        low = p[~included[:, i]].mean()
        prior = ((1 + factor) * low + 1 - factor) / 2
        if included[:, i].any():
            prior = (p[included[:, i]].mean() + low) / 2
        return 1 / (1 + np.exp(-target[i])) / prior

    r = [ratio(i) for i in range(len(target))]
    share = [[r[i] / r[k] >= gamma for k in np.flatnonzero(z) if k != i] for i in range(len(target))]
    return [np.mean(row) for row in share]


@pytest.mark.parametrize("gamma", [1.0, 1.3])
@pytest.mark.parametrize("in_models", [True, False])
def test_the_pairwise_ratio_agrees_with_every_pair_compared(gamma, in_models):
    target, seen, included, member, _ = game(8, images=60)
    included = included if in_models else np.zeros_like(included)
    for z in (np.ones(60, bool), ~member):
        found = m.pairwise_ratios(target, seen, included, z, gamma, 0.4)
        assert np.allclose(found, beaten_pair_by_pair(target, seen, included, z, gamma, 0.4))
    if gamma == 1:  # a rank: it ends at nobody and at everybody
        found = m.pairwise_ratios(target, seen, included)
        assert found.min() == 0 and found.max() == 1


def test_the_pairwise_ratio_finds_members_with_two_shadow_models_where_a_threshold_does_not():
    target, seen, included, member, _ = game(2)
    assert (
        m.auc(m.pairwise_ratios(target, seen, included), member) > m.auc(m.loss_scores(target), member) + 0.1
    )
    target, seen, *_ = game(2)
    offline = m.pairwise_ratios(target, seen - 2 * included, np.zeros_like(included))
    assert m.auc(offline, member) > m.auc(m.loss_scores(target), member) + 0.05


def test_the_pairwise_ratio_stays_finite_where_probabilities_are_not_told_from_0_and_1():
    target, included = np.array([900.0, -900.0, 0.0]), np.eye(2, 3, dtype=bool)
    found = m.pairwise_ratios(target, np.array([[900.0, -800.0, 0.0], [900.0, -900.0, 1.0]]), included)
    assert np.isfinite(found).all()


@pytest.mark.parametrize("wrong", [{"gamma": 0.5}, {"offline_factor": 1.5}])
def test_the_pairwise_ratio_refuses_what_makes_no_sense(wrong):
    target, seen, included, *_ = game(4, images=10)
    with pytest.raises(ValueError, match="gamma"):
        m.pairwise_ratios(target, seen, included, **wrong)
    included[:, 3] = True
    with pytest.raises(ValueError, match="without it"):
        m.pairwise_ratios(target, seen, included)


def test_each_image_needs_two_shadow_models_of_each_kind():
    target, seen, included, *_ = game(4, images=10)
    included[:, 3] = [True, False, False, False]
    with pytest.raises(ValueError, match="two without"):
        m.likelihood_ratios(target, seen, included)


def test_rates_count_who_is_found_while_few_are_accused():
    members = np.repeat([True, False], [100, 1000])
    scores = np.concatenate([np.full(30, 9.0), np.full(20, 5.0), np.full(50, 0.0), np.full(1000, 1.0)])
    scores[100:105] = 7.0  # 0.5 % of the others are above the 20
    scores[105:111] = 4.0
    assert m.tpr_at(scores, members, 0.001) == pytest.approx(0.3)
    assert m.tpr_at(scores, members, 0.01) == pytest.approx(0.5)
    low, high = m.tpr_interval(scores, members, 0.01)
    assert low == pytest.approx(0.398, abs=1e-3) and high == pytest.approx(0.602, abs=1e-3)


def test_a_rate_is_not_told_of_too_few_others():
    members = np.repeat([True, False], [50, 99])
    assert m.tpr_at(np.arange(149.0), members, 0.01) is None
    assert m.tpr_at(np.arange(150.0), np.repeat([True, False], [50, 100]), 0.01) == 0
    told = m.figures("loss_threshold", "all_classes", RNG.normal(size=149), members)
    assert told.tpr_at_1_percent is None and told.tpr_at_01_percent is None
    assert (told.members, told.others) == (50, 90)  # coarse


def test_intervals_hold_the_truth_as_often_as_they_say():
    covered = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        members = np.repeat([True, False], 150)
        low, high = m.auc_interval([(rng.normal(0, 1, 300) + members, members)], 200)
        covered += low <= norm.cdf(1 / np.sqrt(2)) <= high
    assert covered >= 16


def test_intervals_of_several_models_are_of_their_mean_and_know_ties():
    members = np.repeat([True, False], 200)
    perfect, blind = members.astype(float), np.zeros(400)
    assert m.auc_interval([(perfect, members), (blind, members)], 20) == (0.75, 0.75)
    one = RNG.normal(size=400) + members
    low, high = m.auc_interval([(one, members)], 200)
    few = m.auc_interval([(one, members), (one, members)], 200)
    assert low < m.auc(one, members) < high and few[1] - few[0] < high - low


def test_the_rarest_class_is_the_rarest_that_can_be_attacked():
    labels = np.repeat([0, 1, 2, 0, 1, 2], [100, 30, 19, 50, 50, 50])
    members = np.arange(len(labels)) < 149
    assert m.rarest_class(labels, members) == 1
    assert m.rarest_class(labels[:149], members[:149]) is None
