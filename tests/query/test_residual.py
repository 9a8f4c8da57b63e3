"""What is left of a difference in look: taken off as far as it is more than chance."""

from __future__ import annotations

import pytest
import torch

from clinical_qkt.privacy.mechanisms import STEPS, Guarantee, private_release, rounded_noise
from clinical_qkt.query.residual import (
    FAR,
    WEIGHT,
    Apart,
    Residual,
    private_residual,
    private_sums,
    residual,
    taken_off,
    told_of,
)
from clinical_qkt.statistics.class_statistics import ClassStatistics, PrivateSum

ONE = Guarantee(1.0, 1e-5)
WIDE = 1e6
"""A radius at which nothing is clipped."""


def apart(rows: torch.Tensor, mean: torch.Tensor, radius: float = WIDE) -> Apart:
    """Of a class's features, added in two batches."""
    found = Apart(mean, radius)
    for part in (rows[:3], rows[3:]):
        found.update(part)
    return found


def drawn(shift: float, images: int, seed: int = 0, features: int = 40, radius: float = WIDE) -> Residual:
    """Of two classes at two sites of the same spread, one of them shifted."""
    generator = torch.Generator().manual_seed(seed)

    def rows(of: float) -> torch.Tensor:
        return torch.randn(images, features, generator=generator, dtype=torch.float64) + of

    own = {c: rows(0).mean(0) for c in "ab"}
    found = residual({c: apart(rows(shift), own[c], radius) for c in "ab"}, dict.fromkeys("abx", images))
    assert found is not None
    return found


def test_between_sites_that_look_alike_nothing_is_taken_off():
    assert all(drawn(0.0, 50, seed).share == 0 for seed in range(20))


def test_a_shift_beyond_chance_is_taken_off_nearly_whole_and_told_per_axis():
    found = drawn(1.0, 200)
    assert found.share > 0.95 and found.per_axis == pytest.approx(1.0, abs=0.05)
    part = ClassStatistics(100, torch.full((40,), 3.0, dtype=torch.float64))
    assert float((taken_off(part, found).mean - 2.0).abs().mean()) < 0.15


def test_where_very_much_is_left_differences_are_clipped_and_what_was_left_is_told_all_the_same():
    near, far = drawn(FAR - 0.2, 100, radius=9.0), drawn(FAR + 0.5, 100, radius=9.0)
    assert near.unclipped is None and near.per_axis == pytest.approx(FAR - 0.2, abs=0.05)
    assert far.unclipped == far.per_axis == pytest.approx(FAR + 0.5, abs=0.05)
    assert float(far.shift.norm()) < 9.0 < float(drawn(FAR + 0.5, 100).shift.norm())


def test_one_image_that_lies_far_off_moves_clipped_differences_by_no_more_than_the_radius():
    zero = torch.zeros(4).double()
    rows = torch.full((10, 4), 5.0).double()
    calm, wild = (
        residual({"a": apart(r, zero, 2.0)}, {"a": 9})
        for r in (rows, rows.index_fill(0, torch.tensor(0), 1e9))
    )
    assert float((calm.shift - wild.shift).norm()) <= 2 * 2.0 / 10


def test_without_a_shared_class_there_is_none_and_the_answer_stays():
    assert residual({}, {"b": 9}) is None
    part = ClassStatistics(5, torch.ones(3).double())
    assert taken_off(part, None) is part


RADIUS, LENGTH = 8.0, 10.0
"""The query's, and of the asker's features."""


def privately(rows: torch.Tensor, noise=lambda sigma, numbers: [0] * numbers, mapped=True) -> Residual:
    """Of patients with an image each, and 100 images of each of two classes at the asker."""
    sums = private_sums(rows.shape[1], RADIUS, mapped)
    sums.update(told_of(rows, RADIUS, mapped), [str(i) for i in range(len(rows))])
    release = private_release(sums.contributions(), ONE, noise)
    return private_residual(release, ONE, rows.shape[1], RADIUS, LENGTH, [100, 100], mapped)


def around(patients: int, far: float = 1.0, seed: int = 0) -> torch.Tensor:
    """``(patients, 64)`` on both sides of the asker's mean, each ``far`` spreads off along an axis."""
    rows = torch.randn(patients // 2, 64, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return far * torch.cat([rows, -rows])


def test_a_private_residual_is_taken_off_in_units_of_the_sum_and_its_noise_is_counted():
    found = privately(torch.full((100, 64), 0.9).double())
    part = PrivateSum(torch.full((64,), 300.0).double(), 100.0, noise=5.0, count_noise=1.0)
    noise = ONE.sigma * RADIUS * (1 + WEIGHT**2) ** 0.5 / STEPS / 100
    assert found.noise == pytest.approx(1 / 100 + 2 / 100 / 4 + noise**2)
    off = taken_off(part, found)
    assert isinstance(off, PrivateSum)
    torch.testing.assert_close(off.total, part.total - 100 * found.share * found.shift)
    assert float(found.shift.mean()) == pytest.approx(0.9, abs=0.01)


def test_laboratories_with_nothing_in_common_are_told_from_others_though_features_are_clipped():
    near, far = privately(around(1000)), privately(around(1000, far=20.0))
    assert float(far.shift.norm()) < 0.1 and near.per_axis == 0
    assert far.per_axis == pytest.approx((4**2 * RADIUS**2 - LENGTH**2) ** 0.5 / 8, abs=0.2)


@pytest.mark.parametrize("mapped", [True, False])
def test_how_far_features_lay_off_is_told_in_spreads_along_an_axis(mapped):
    for far in (1.5, 2.0, 3.0):
        left = (64 * far**2 - LENGTH**2) ** 0.5 / 8
        assert privately(around(4000, far), mapped=mapped).per_axis == pytest.approx(left, abs=0.15)


def test_of_images_that_were_not_mapped_one_number_is_told_and_nothing_taken_off():
    found = privately(torch.full((100, 64), 9.0).double(), mapped=False)
    assert found.shift.shape == (0,) and found.share == 0 and found.per_axis > 3
    part = PrivateSum(torch.ones(64).double(), 100.0, noise=5.0, count_noise=1.0)
    assert torch.equal(taken_off(part, found).total, part.total)


def test_noise_alone_seldom_tells_of_a_difference():
    def told(seed: int) -> float:
        generator = torch.Generator().manual_seed(seed)
        noise = rounded_noise(lambda n: torch.randn(n, generator=generator, dtype=torch.float64))
        return privately(around(300, seed=seed), noise).per_axis

    assert sum(told(seed) > 1 for seed in range(40)) <= 2


@pytest.mark.parametrize("mapped", [True, False])
@pytest.mark.parametrize("value", [0.0, 1e-300, 1e6, 1e200, float("inf"), float("nan")])
def test_whatever_features_are_one_patient_adds_no_more_than_noise_is_made_for(value, mapped):
    rows = torch.full((1, 64), value, dtype=torch.float64)
    sums = private_sums(64, RADIUS, mapped)
    sums.update(told_of(rows, RADIUS, mapped), ["one"])
    assert int(sums.contributions().square().sum()) <= STEPS**2


def test_of_fewer_private_axes_the_others_stay():
    found = Residual(torch.ones(2).double(), 0.0, private=True)
    part = ClassStatistics(5, torch.ones(3).double())
    assert taken_off(part, found).mean.tolist() == [0.0, 0.0, 1.0]
