from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis

from clinical_qkt.core.errors import InputError
from clinical_qkt.statistics import gaussian_heads
from clinical_qkt.statistics.class_statistics import class_statistics


@pytest.fixture
def three() -> tuple[torch.Tensor, torch.Tensor]:
    """Three Gaussian classes of different shapes in five dimensions."""
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(900, 5, generator=generator, dtype=torch.float64)
    y = torch.arange(900) % 3
    scale = torch.tensor([1.0, 2.0, 0.5], dtype=torch.float64)[y][:, None]
    centre = torch.tensor([[0.0] * 5, [1.5] * 5, [-1.0, 1.0, 0.0, 0.0, 2.0]], dtype=torch.float64)[y]
    return x * scale + centre, y


def statistics(x, y):
    return [class_statistics(x[y == c]) for c in range(3)]


def posterior(gaussians, x):
    return gaussians.log_density(x).softmax(1).numpy()


def test_linear_is_scikit_learns_linear_discriminant(three):
    x, y = three
    ours = gaussian_heads.linear(statistics(x, y))
    theirs = LinearDiscriminantAnalysis(solver="lsqr", priors=[1 / 3] * 3).fit(x.numpy(), y.numpy())
    assert np.abs(posterior(ours, x) - theirs.predict_proba(x.numpy())).max() < 0.02  # but for the ridge
    assert len(ours.whitening) == 1


def test_quadratic_without_shrinkage_is_scikit_learns_quadratic_discriminant(three):
    x, y = three
    ours = gaussian_heads.quadratic(statistics(x, y), 0.0)
    theirs = QuadraticDiscriminantAnalysis(priors=[1 / 3] * 3).fit(x.numpy(), y.numpy())
    # scikit-learn divides by N, we by N - 1
    assert np.abs(posterior(ours, x) - theirs.predict_proba(x.numpy())).max() < 0.01


def test_quadratic_with_full_shrinkage_is_linear(three):
    x, y = three
    parts = statistics(x, y)
    assert np.allclose(
        posterior(gaussian_heads.quadratic(parts, 1.0), x),
        posterior(gaussian_heads.linear(parts), x),
        atol=1e-9,
    )


def test_a_diagonal_keeps_its_variances_and_takes_the_shared_correlations(three):
    x, y = three
    parts = statistics(x, y)
    told = [*parts[:2], parts[2].reduced("diagonal")]
    gaussians = gaussian_heads.quadratic(told, 0.0)
    made = torch.linalg.inv(gaussians.whitening[2] @ gaussians.whitening[2].T)
    assert torch.allclose(made.diagonal(), parts[2].covariance.diagonal(), rtol=1e-6)
    shared = gaussian_heads.shared_covariance(told)
    assert float(made[0, 1] / (made[0, 0] * made[1, 1]).sqrt()) == pytest.approx(
        float(shared[0, 1] / (shared[0, 0] * shared[1, 1]).sqrt()), abs=1e-6
    )


def test_a_class_with_a_mean_alone_takes_the_shared_covariance(three):
    x, y = three
    parts = statistics(x, y)
    gaussians = gaussian_heads.quadratic([*parts[:2], parts[2].reduced("mean")], 0.3)
    made = torch.linalg.inv(gaussians.whitening[2] @ gaussians.whitening[2].T)
    assert torch.allclose(made, gaussian_heads.shared_covariance(parts[:2]), rtol=1e-6)


def test_no_covariance_at_all_is_refused(three):
    with pytest.raises(InputError, match="no class has a covariance"):
        gaussian_heads.linear([p.reduced("mean") for p in statistics(*three)])


def test_the_shrinkage_is_the_one_that_fits_held_out_images_best(three):
    x, y = three
    parts = statistics(x[::2], y[::2])
    # the classes differ in shape, so that little shrinkage is right; with one shape for all, much is
    assert gaussian_heads.chosen_shrinkage(parts, x[1::2], y[1::2]) <= 0.5
    few = torch.randn(30, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    label = torch.arange(30) % 3
    alike = [class_statistics(few[label == c] + c) for c in range(3)]
    held = torch.randn(600, 5, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    truth = torch.arange(600) % 3
    assert gaussian_heads.chosen_shrinkage(alike, held + truth[:, None], truth) >= 0.8


def test_the_temperature_makes_overconfident_densities_as_sure_as_they_are_right(three):
    x, y = three
    parts = [class_statistics(x[y == c][:8]) for c in range(3)]  # far too few for five dimensions
    gaussians = gaussian_heads.quadratic(parts, 0.0)
    assert gaussian_heads.chosen_temperature(gaussians, x, y) > gaussian_heads.chosen_temperature(
        gaussian_heads.quadratic(statistics(x, y), 0), x, y
    )


def test_replay_trains_an_ordinary_linear_head_that_knows_the_drawn_class(three):
    x, y = three
    parts = statistics(x, y)
    own = y < 2
    head = gaussian_heads.replayed(x[own], y[own], parts[2:], gaussian_heads.shared_covariance(parts), seed=0)
    assert isinstance(head, torch.nn.Linear) and head.out_features == 3
    right = (head(x.float()).argmax(1) == y)[y == 2].float().mean()
    assert float(right) > 0.8
    again = gaussian_heads.replayed(
        x[own], y[own], parts[2:], gaussian_heads.shared_covariance(parts), seed=0
    )
    assert torch.equal(head.weight, again.weight)


def test_where_a_mean_is_in_doubt_that_axis_decides_less(three):
    x, y = three
    parts = statistics(x, y)
    doubt = torch.tensor([0.0, 0, 0, 0, 1e6], dtype=torch.float64)
    plain, unsure = (
        gaussian_heads.linear(parts),
        gaussian_heads.linear([*parts[:2], replace(parts[2], doubt=doubt)]),
    )
    sure = gaussian_heads.linear([*parts[:2], replace(parts[2], doubt=0 * doubt)])
    assert torch.allclose(plain.log_density(x), sure.log_density(x))
    moved = x.clone()
    moved[:, 4] += 5
    gaps = [(g.log_density(moved) - g.log_density(x))[:, 0] for g in (plain, unsure)]
    assert gaps[0].abs().mean() > 1 and gaps[1].abs().max() < 1e-3
