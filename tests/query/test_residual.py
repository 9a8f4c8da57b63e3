"""What is left of a difference in look: taken off as far as it is more than chance."""

from __future__ import annotations

import pytest
import torch

from clinical_qkt.query.residual import Residual, private_residual, residual, taken_off
from clinical_qkt.statistics.class_statistics import ClassStatistics, PrivateSum


def drawn(shift: float, images: int, seed: int = 0, features: int = 40) -> Residual:
    """Of two classes at two sites of the same spread, one of them shifted."""
    generator = torch.Generator().manual_seed(seed)

    def mean(of: float) -> torch.Tensor:
        rows = torch.randn(images, features, generator=generator, dtype=torch.float64) + of
        return rows.mean(0)

    own, counts = {c: mean(0) for c in "ab"}, dict.fromkeys("ab", images)
    found = residual({c: mean(shift) for c in "abx"}, {**counts, "x": images}, own, counts)
    assert found is not None
    return found


def test_between_sites_that_look_alike_nothing_is_taken_off():
    assert all(drawn(0.0, 50, seed).share == 0 for seed in range(20))


def test_a_shift_beyond_chance_is_taken_off_nearly_whole_and_told_per_axis():
    found = drawn(1.0, 200)
    assert found.share > 0.95 and found.per_axis == pytest.approx(1.0, abs=0.05)
    part = ClassStatistics(100, torch.full((40,), 3.0, dtype=torch.float64))
    assert float((taken_off(part, found).mean - 2.0).abs().mean()) < 0.15


def test_without_a_shared_class_there_is_none_and_the_answer_stays():
    one = {"a": torch.zeros(3).double()}
    assert residual(one, {"a": 9}, {"b": one["a"]}, {"b": 9}) is None
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
