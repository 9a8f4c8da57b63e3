import pytest
import torch

from clinical_qkt.privacy.mechanisms import STEPS, Guarantee, private_release, rounded_noise, whole
from clinical_qkt.query import axes
from clinical_qkt.query.shrinkage import PUSH, added, told
from clinical_qkt.statistics.class_statistics import (
    ClassStatistics,
    PrivateSum,
    class_statistics,
    pooled,
)

WIDTH = 8
PRIOR = axes.prior(4 * torch.eye(WIDTH, dtype=torch.float64)[:3])


def own(width: int = WIDTH) -> list[ClassStatistics]:
    """Three own classes, none of them near another, around zero as in the own map."""
    means = 4 * torch.eye(width, dtype=torch.float64)[:3]
    return [ClassStatistics(50, row) for row in means - means.mean(0)]


def private(count: float, mean: float = 1.0, noise: float = 0.0, asked: int = WIDTH) -> PrivateSum:
    total = torch.full((asked,), count * mean, dtype=torch.float64)
    return PrivateSum(total, count, noise or 1e-9, noise)


def test_exact_answers_are_pooled_as_ever():
    parts = [class_statistics(torch.randn(20, 3, dtype=torch.float64)) for _ in range(2)]
    found = told(parts, own(3))
    assert torch.equal(found.mean, pooled(parts).mean) and torch.equal(
        found.covariance, pooled(parts).covariance
    )


def test_with_many_patients_nothing_is_shrunk_and_nothing_is_in_doubt():
    found = told([private(1e6), private(1e6)], own())
    assert torch.allclose(found.mean, torch.full_like(found.mean, PUSH), rtol=1e-4)
    assert found.doubt.max() < 1e-5 and found.count == 2_000_000 and found.kind == "private_mean"


def test_the_more_noise_the_more_is_shrunk_and_later_axes_more_than_earlier_ones():
    calm, loud = (told([private(20, noise=n)], own()) for n in (20.0, 200.0))
    assert (loud.mean < calm.mean).all() and (calm.mean <= PUSH).all() and (loud.mean > 0).all()
    assert (loud.mean[1:] < loud.mean[:-1]).all() and (loud.doubt > calm.doubt).all()
    assert (loud.doubt < PRIOR).all()


def test_along_another_sites_axes_a_mean_is_shrunk_towards_the_middle_of_the_own_classes():
    """Where that is plays no part: moved together, all is moved."""
    off = torch.arange(WIDTH, dtype=torch.float64)
    moved = [ClassStatistics(50, one.mean + off) for one in own()]
    part = private(20, noise=100.0)
    there = PrivateSum(part.total + 20 * off, 20, part.noise, part.count_noise)
    found, plain = told([there], moved), told([part], own())
    torch.testing.assert_close(found.mean, plain.mean + off)
    torch.testing.assert_close(found.doubt, plain.doubt)


def test_axes_that_were_not_asked_for_stay_in_the_middle_and_in_doubt():
    found = told([private(1e6, asked=3)], own())
    assert found.mean.shape == (WIDTH,) and (found.mean[3:] == 0).all() and (found.mean[:3] > 1).all()
    assert torch.allclose(found.doubt[3:], PRIOR[3:])


def test_noised_counts_make_up_for_each_other_and_are_never_taken_for_none():
    count, mean, _ = added(
        [private(45.0, noise=1.0, asked=2), PrivateSum(torch.full((2,), 20.0).double(), -5.0, 1.0, 1.0)], 2
    )
    assert count == 50 and float(mean[0]) == pytest.approx(65 / 40)
    few = added([PrivateSum(torch.ones(2).double(), -300.0, 1.0, 1.0)] * 2, 2)
    assert few[0] == 10 and float(few[1][0]) == pytest.approx(2 / 10)


def test_a_site_with_more_noise_counts_for_less():
    loud = PrivateSum(torch.full((2,), 900.0).double(), 20.0, 400.0, 1.0)
    calm = PrivateSum(torch.full((2,), 20.0).double(), 20.0, 4.0, 1.0)
    _, mean, doubt = added([calm, loud], 2)
    assert float(mean[0]) == pytest.approx(1.0, abs=0.01) and float(doubt[0]) < 0.1


def test_exact_and_private_answers_for_one_class_are_weighted_axis_by_axis():
    exact = ClassStatistics(100, torch.zeros(WIDTH).double(), torch.eye(WIDTH).double())
    found = told([exact, private(100.0, noise=1e-6, asked=3)], own())
    assert torch.allclose(found.mean[:3], torch.full((3,), 0.5).double()) and (found.mean[3:] == 0).all()
    assert torch.equal(found.covariance, exact.covariance) and found.count == 200 and found.doubt is None


def test_a_released_mean_is_nearer_the_truth_than_the_plain_one():
    generator = torch.Generator().manual_seed(0)
    means = 4 * torch.eye(64, dtype=torch.float64)[:3]
    truth = axes.prior(means).sqrt() * torch.randn(64, generator=generator, dtype=torch.float64)
    noise = rounded_noise(lambda n: torch.randn(n, generator=generator, dtype=torch.float64))
    errors, promised = [], Guarantee(1.0, 1e-5)
    for _ in range(5):
        rows = truth + torch.randn(20, 64, generator=generator, dtype=torch.float64)
        radius = float(rows.norm(dim=1).median())
        sent = private_release(whole(rows, radius, STEPS), promised, noise).read(radius, promised)
        plain = sent.statistics(64).mean
        errors.append(float((told([sent], own(64)).mean - truth).norm() / (plain - truth).norm()))
    assert max(errors) < 0.9 and sum(errors) < 3
