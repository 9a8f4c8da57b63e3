"""What is left of a difference in look: taken off as far as it is more than chance."""

from __future__ import annotations

import pytest
import torch

from clinical_qkt.query.residual import FAR, Apart, Residual, private_residual, residual, taken_off
from clinical_qkt.statistics.class_statistics import ClassStatistics, PrivateSum

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


def test_of_a_private_sum_it_is_taken_off_in_units_of_the_sum_and_its_noise_is_counted():
    sums = PrivateSum(torch.full((4,), 100.0).double(), 100.0, noise=5.0, count_noise=1.0)
    found = private_residual(sums, [100, 100])
    assert found.noise == pytest.approx(1 / 100 + 2 / 100 / 4 + 0.05**2)
    part = PrivateSum(torch.full((4,), 300.0).double(), 100.0, noise=5.0, count_noise=1.0)
    off = taken_off(part, found)
    assert isinstance(off, PrivateSum)
    torch.testing.assert_close(off.total, part.total - 100 * found.share * found.shift)


def test_of_fewer_private_axes_the_others_stay():
    found = Residual(torch.ones(2).double(), 0.0, private=True)
    part = ClassStatistics(5, torch.ones(3).double())
    assert taken_off(part, found).mean.tolist() == [0.0, 0.0, 1.0]
