"""Methods that gain a class from statistics of features: what all of them do, and what sets each apart."""

from dataclasses import replace

import pytest
import torch
from pydantic import ValidationError
from sklearn.mixture import GaussianMixture
from torch.nn import functional as F

from clinical_qkt.core.errors import InputError, QueryError
from clinical_qkt.query import axes
from clinical_qkt.query.aggregate import own_statistics
from clinical_qkt.query.shrinkage import PUSH, told
from clinical_qkt.research.methods import (
    METHODS,
    fedpft,
    fisher,
    gaussian_head,
    prototypes,
    public_prototypes,
)
from clinical_qkt.research.methods.requested import requested
from clinical_qkt.statistics.class_statistics import (
    ClassStatistics,
    class_statistics,
    pooled,
)
from clinical_qkt.statistics.gaussian_heads import shared_covariance
from clinical_qkt.training.inference import labels_of

QUICK = {"draws": 300, "epochs": 25}
LONGER = {"draws": 1000, "epochs": 50}  # a residual starts at random, far from where it should be
CASES = {
    **{f"statistics_{k}": ("statistics", {"kind": k}) for k in ("covariance", "diagonal", "mean")},
    **{f"statistics_{h}": ("statistics", {"head": h}) for h in ("linear", "quadratic", "replay")},
    "statistics_chosen": ("statistics", {"shrinkage": None}),
    **{f"prototypes_{m}": ("prototypes", {"metric": m}) for m in ("euclidean", "cosine")},
    "prototypes_whitened": ("prototypes", {"space": "whitened"}),
    # Sixty epochs: of so few images thirty are few steps, and where they end differs between processors.
    **{f"fedpft_{c}": ("fedpft", {"covariance": c, "epochs": 60}) for c in ("full", "diag", "spherical")},
    **{
        f"gaussian_head_{h}": ("gaussian_head", {"head": h, **QUICK})
        for h in ("naive_bayes", "linear", "quadratic", "fisher")
    },
    "gaussian_head_residual": ("gaussian_head", {"head": "residual", **LONGER}),
}
PRIVATE = {
    "statistics": ("statistics", {}),
    **{n: CASES[n] for n in ("prototypes_euclidean", "prototypes_cosine", "gaussian_head_linear")},
    "gaussian_head_fisher": CASES["gaussian_head_fisher"],
}


@pytest.fixture(scope="module")
def kept():
    return {}


@pytest.fixture
def case(case, kept):
    """As ever, but that the sites' features are computed once."""
    return replace(case, kept=kept)


def outcome(case, method, **settings):
    return METHODS[method].run(case, METHODS[method].settings(**settings))


def recalls(logits, truth):
    """Of the queried class, and over the others."""
    right = logits.argmax(1) == truth
    return float(right[truth == 3].float().mean()), float(right[truth != 3].float().mean())


@pytest.mark.parametrize("name", CASES)
def test_the_queried_class_is_gained_and_the_own_ones_are_kept(name, case, held_out):
    method, settings = CASES[name]
    found = outcome(case, method, **settings)
    logits = found.predict(held_out)
    assert logits.shape == (len(held_out), 4) and logits.dtype == torch.float32
    assert torch.isfinite(logits).all() and not logits.requires_grad
    gained, kept = recalls(logits, labels_of(held_out))
    assert gained >= 0.9 and kept >= 0.9
    assert found.teachers_used == 2  # both other sites have yellow
    assert torch.equal(logits, outcome(case, method, **settings).predict(held_out))


@pytest.mark.parametrize("name", PRIVATE)
def test_private_answers_are_others_and_valid(name, case, held_out):
    method, settings = PRIVATE[name]
    private = outcome(case, method, **settings, kind="private_mean", epsilon=8.0)
    logits = private.predict(held_out)
    assert torch.isfinite(logits).all()
    gained, kept = recalls(logits, labels_of(held_out))
    assert gained >= 0.7 and kept >= 0.7
    exact = outcome(case, method, **settings, kind="mean")
    assert not torch.allclose(logits, exact.predict(held_out), atol=1e-3)
    assert private.bytes_received == exact.bytes_received > 0


@pytest.mark.parametrize("method", ["statistics", "prototypes", "fedpft", "gaussian_head"])
def test_who_has_fewer_patients_than_the_minimum_gives_no_answer(method, case):
    with pytest.raises(QueryError, match="enough images"):
        outcome(case, method, patients=10, minimum_patients=11)
    assert outcome(case, method, patients=10, minimum_patients=10).teachers_used == 2


def test_more_costs_more_bytes(case):
    sizes = [outcome(case, "statistics", kind=k).bytes_received for k in ("mean", "diagonal", "covariance")]
    width = requested(case, None).training[0].shape[1]
    look = 15  # beside each answer, how the site's images look
    assert sizes == [2 * 4 * (n + look) for n in (width, 2 * width, width + width**2)]


# Prototypes


def test_scores_are_minus_distances_and_nothing_at_a_mean():
    means, x = torch.eye(3, 4) * 2, torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    far = prototypes.scores(x, means, "euclidean")
    assert torch.allclose(far, -(torch.cdist(x, means) ** 2) / 2, atol=1e-5)
    angle = prototypes.scores(x, means, "cosine")
    assert torch.allclose(angle, prototypes.scores(7 * x, means, "cosine"), atol=1e-6)
    assert (angle <= 0).all() and (angle >= -2).all()
    for metric in ("euclidean", "cosine"):
        assert prototypes.scores(means, means, metric).diagonal().abs().max() < 1e-6


def test_the_standardised_space_is_that_of_the_pooled_features(case):
    question = requested(case, None)
    images = torch.stack([i["image"] for i in case.training])
    with torch.no_grad():
        raw = question.extractor.pooled(images)[1].double()
    found = prototypes.standardised(question)(question.training[0])
    alive = raw.std(0) > 1e-2 * raw.std(0).median()
    assert torch.allclose(found[:, alive], ((raw - raw.mean(0)) / raw.std(0))[:, alive], atol=1e-3)
    # In the mapped space own classes vary by about one instead, which nearest mean at its sources lacks.
    spread = [
        torch.stack([s.covariance.diagonal() for s in own_statistics(x, question.training[1], 3)]).mean(0)
        for x in (question.training[0], found)
    ]
    assert 0.6 < spread[0].median() < 1.2 and spread[1].median() < 0.5 * spread[0].median()


def test_prototypes_see_means_alone_and_ask_for_no_more():
    for kind in ("covariance", "diagonal"):
        with pytest.raises(ValidationError, match="kind"):
            prototypes.Settings(kind=kind)
    assert prototypes.Settings().kind == "mean"


# FedPFT


@pytest.mark.parametrize("kind", ["private_mean", "mean", "diagonal"])
def test_fedpft_refuses_to_tell_more_than_the_kind_allows(kind):
    with pytest.raises(InputError, match="mixture"):
        fedpft.Settings(kind=kind)


def test_a_mixture_has_fewer_components_where_images_are_few():
    x = torch.randn(60, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    sizes = [fedpft.fitted_mixture(x[:n], fedpft.Settings(), 0).n_components for n in (60, 25, 5)]
    assert sizes == [5, 2, 1]


def test_each_site_sends_a_mixture_and_as_much_is_drawn_as_it_has(case, monkeypatch):
    drawn, sample = [], GaussianMixture.sample
    monkeypatch.setattr(
        GaussianMixture, "sample", lambda self, n: drawn.append((self.n_components, n)) or sample(self, n)
    )
    found = outcome(case, "fedpft", components=3, patients=40, covariance="spherical")
    width = requested(case, None).training[0].shape[1]
    assert drawn == [(3, 40), (3, 40)]
    assert found.bytes_received == 4 * 2 * (3 + 3 * width + 3)


# GH-OFL


@pytest.fixture
def classes():
    """Four classes in six dimensions, the covariances unlike each other."""
    generator = torch.Generator().manual_seed(0)
    found = []
    for c in range(4):
        x = torch.randn(200 + 50 * c, 6, generator=generator, dtype=torch.float64)
        found.append(class_statistics(x * torch.linspace(0.5, 1 + c, 6) + 4 * torch.eye(6)[c]))
    return found


def test_moments_are_summed_as_if_the_images_lay_together():
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(n, 3, generator=generator).double() + s for n, s in ((3000, 0), (1000, 2)))
    whole, parts = class_statistics(torch.cat([a, b])), [class_statistics(a), class_statistics(b)]
    found = gaussian_head.summed(parts)
    assert found.count == 4000 and torch.allclose(found.mean, whole.mean)
    assert torch.allclose(found.covariance, whole.covariance, atol=2e-3)
    assert not torch.allclose(pooled(parts).covariance, whole.covariance, atol=0.1)
    flat = gaussian_head.summed([p.reduced("diagonal") for p in parts])
    assert torch.allclose(flat.covariance, whole.covariance.diagonal(), atol=2e-3)


def test_closed_forms_are_densities_times_shares_of_images(classes):
    x = torch.randn(5, 6, generator=torch.Generator().manual_seed(1)).double()
    shares = torch.tensor([200.0, 250, 300, 350]).double() / 1100
    means = torch.stack([c.mean for c in classes])
    shared = gaussian_head.shrunk(shared_covariance(classes, ridge=0), 0.1)
    own = torch.stack([gaussian_head.shrunk(c.covariance, 0.1) for c in classes])
    flat = torch.stack([c.covariance.diagonal().diag() for c in classes])
    for head, covariance in (("linear", shared), ("quadratic", own), ("naive_bayes", flat)):
        normal = torch.distributions.MultivariateNormal(means, covariance)
        expected = (normal.log_prob(x[:, None]) + shares.log()).log_softmax(1)
        found = gaussian_head.closed_form(classes, head, 0.1).log_density(x).log_softmax(1)
        assert torch.allclose(found, expected), head


def test_shrinkage_goes_towards_the_mean_variance():
    covariance = torch.tensor([[3.0, 1.0], [1.0, 1.0]])
    assert torch.allclose(gaussian_head.shrunk(covariance, 1.0), 2 * torch.eye(2))
    assert torch.equal(gaussian_head.shrunk(covariance, 0.0), covariance)


def test_a_class_without_covariance_takes_the_shared_one(classes):
    bare = [*classes[:3], ClassStatistics(100, classes[3].mean)]
    shared = shared_covariance(classes[:3], ridge=0)
    assert torch.equal(gaussian_head.full(bare)[3], shared)
    assert torch.equal(gaussian_head.full(bare)[0], classes[0].covariance)


def test_the_fisher_subspace_is_smaller_than_the_number_of_classes_and_sets_them_apart(classes):
    basis, head = gaussian_head.trained_head(classes, gaussian_head.Settings(head="fisher", **QUICK), 0)
    assert basis.shape == (6, 3) and torch.linalg.matrix_rank(basis) == 3
    within = gaussian_head.shrunk(shared_covariance(classes, ridge=0), 0.05)
    assert torch.allclose(basis.T @ within @ basis, torch.eye(3).double(), atol=1e-8)
    # Off the subspace nothing is seen: features that differ there alone get the same logits.
    x = torch.randn(4, 6, generator=torch.Generator().manual_seed(2)).double()
    across = torch.linalg.svd(basis.T)[2][3:]
    assert torch.allclose(head((x + 9 * across[0]) @ basis), head(x @ basis))
    share = torch.full((4,), 0.25).double()
    two = torch.stack([c.mean for c in classes[:2]])
    assert fisher.subspace(two, 2 * share[:2], within, 0.99).shape == (
        6,
        1,
    )  # two classes leave one direction
    line = torch.outer(torch.arange(4.0), torch.eye(6)[2]).double()  # all means on one line
    assert fisher.subspace(line, share, torch.eye(6).double(), 0.99).shape == (6, 2)
    first = fisher.subspace(line, share, torch.eye(6).double(), 0.99)[:, 0].abs()
    assert torch.allclose(first, torch.eye(6)[2].double(), atol=1e-8)


def test_draws_have_the_classes_means_and_are_narrower(classes):
    z, y = fisher.draws(classes, 4000, 0.5, 0)
    assert torch.equal(y.bincount(), torch.full((4,), 4000))
    found = class_statistics(z[y == 3])
    assert torch.allclose(found.mean, classes[3].mean, atol=0.15)
    ratio = found.covariance.diagonal() / classes[3].covariance.diagonal()
    assert ratio.mean() == pytest.approx(0.25, abs=0.03)


def test_the_cosine_head_sees_directions_and_its_margin_makes_learning_harder():
    torch.manual_seed(0)
    z, y = torch.randn(20, 3).double(), torch.arange(20) % 4
    head = fisher.FisherMix(3, 4, scale=20.0, margin=0.0)
    assert torch.allclose(head(5 * z), head(z)) and head(z).abs().max() <= 20
    plain = head.loss(z, y)
    assert plain.item() == pytest.approx(F.cross_entropy(head(z), y).item())
    head.margin = 0.2
    assert head.loss(z, y) > plain


def test_the_residual_is_of_low_rank_and_learns_from_its_teacher(classes):
    settings = gaussian_head.Settings(head="residual", rank=1, distillation=1.0, blend=1.0, **QUICK)
    _, head = gaussian_head.trained_head(classes, settings, 0)
    z = torch.randn(50, 3, generator=torch.Generator().manual_seed(3)).double() * 3
    with torch.no_grad():
        residual = head.residual(z) - head.residual[1].bias
        assert torch.linalg.matrix_rank(residual) == 1 and residual.abs().max() > 1e-3
        straight = fisher.standardised(head.base.log_density(z))
        assert torch.allclose(head(z) - straight, residual + head.residual[1].bias)
        # All weight on the quadratic teacher: it is what the loss measures the divergence from.
        assert torch.allclose(head.teacher(z), fisher.standardised(head.curved.log_density(z)))
    fresh = fisher.ProtoHyper(head.base, head.curved, 1.0, 1, 1.0, 4.0)
    assert head.loss(z, torch.zeros(50).long()) < fresh.loss(z, torch.zeros(50).long())


def test_the_residuals_rank_is_the_subspaces_at_most(classes):
    _, head = gaussian_head.trained_head(classes, gaussian_head.Settings(head="residual", **QUICK), 0)
    assert head.residual[0].weight.shape == (3, 3)


# Few patients


def test_own_classes_vary_by_one_along_each_axis_about_the_middle_of_their_means(case):
    question = requested(case, None)
    features, labels = question.training
    means = torch.stack([features[labels == c].mean(0) for c in range(3)])
    assert means.mean(0).abs().max() < 1e-6
    within = torch.stack([s.covariance for s in own_statistics(features, labels, 3)]).mean(0)
    assert 0.8 < float(within.diagonal().median()) < 1.2
    # In order: half of what sets the own classes apart lies in a sixteenth of the axes.
    first = means[:, : means.shape[1] // 16]
    assert first.square().sum() > 0.5 * means.square().sum()


def test_a_private_answer_is_made_of_the_first_axes_and_clips_by_them_alone(case, held_out):
    question = requested(case, None)
    private = outcome(case, "statistics", kind="private_mean", private_axes=8, epsilon=8.0)
    looks = sum(told["bytes"] for told in private.looks)  # how the sites' images look, and what is left
    assert private.bytes_received == 2 * 4 * 8 + looks and looks <= 2 * 4 * (15 + 8)
    assert question.clip(8) < question.clip(None) == question.radius
    gained, kept = recalls(private.predict(held_out), labels_of(held_out))
    assert gained >= 0.7 and kept >= 0.7


def test_without_noise_a_private_mean_is_the_exact_one_pushed_outwards(case):
    question = requested(case, None)
    settings = METHODS["statistics"].settings(kind="private_mean", epsilon=1e7)
    far = max(float(x.norm(dim=1).max()) for x in question.sites[0].values())
    features, labels = question.training
    wide = replace(question, training=(features * (far / question.radius), labels))  # clips nothing
    parts = list(wide.told(settings, 0)[0].values())
    found = told(parts, own_statistics(*question.training, 3))
    exact = class_statistics(torch.cat(list(question.sites[0].values()))).mean
    assert (found.mean / PUSH - exact).abs().max() < wide.radius / 1024  # truncation
    assert found.doubt.max() < 1


def test_features_of_one_view_are_another_question(case):
    assert requested(case, None, "one").extractor.spec.mirror_axes == []
    assert requested(case, None).extractor.spec.mirror_axes == [0, 1]
    assert outcome(case, "statistics", views="one").teachers_used == 2


def test_sites_pick_the_candidate_that_their_patients_resemble():
    settings = public_prototypes.Settings(epsilon=50.0)
    public = torch.eye(4, dtype=torch.float64) * 3
    patients = torch.tensor([[0.1, 5, 0, 0.2]] * 20, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    assert public_prototypes.picked(patients, public, settings, generator) == 1
    loose = public_prototypes.Settings(epsilon=1e-6)
    picks = {public_prototypes.picked(patients, public, loose, generator) for _ in range(60)}
    assert picks == {0, 1, 2, 3}


def test_public_prototypes_gain_something_of_a_class_at_the_cost_of_a_number_a_site(
    case, held_out, monkeypatch
):
    monkeypatch.setattr(axes, "SHOWN", 12)  # as it is for people: candidates are varied images
    found = outcome(replace(case, kept={}), "public_prototypes", epsilon=8.0)
    assert found.teachers_used == 2 and found.bytes_received == 8
    gained, kept = recalls(found.predict(held_out), labels_of(held_out))
    assert gained >= 0.5 and kept >= 0.7
