"""Pictures unlike the site's own."""

from __future__ import annotations

import numpy as np
import pytest

from clinical_qkt.evidence.pictures import Pictures, numbers_of


def drawn(seed: int, count: int, mean: float = 0.0, spread: float = 0.3, dims: int = 2) -> np.ndarray:
    rng = np.random.default_rng(seed)
    light = rng.normal(mean, 0.1, (count, 3, *[1] * dims))
    return light + rng.normal(0, spread, (count, 3, *[10] * dims)) * rng.uniform(0.8, 1.2, light.shape)


@pytest.fixture(scope="module")
def own() -> Pictures:
    """Of two classes, one a little lighter than the other."""
    numbers = numbers_of(np.concatenate([drawn(0, 60), drawn(1, 60, mean=0.2)]))
    return Pictures.of(numbers, np.repeat([0, 1], 60))


def test_other_images_of_the_kind_pass_and_darker_flatter_or_smoother_ones_do_not(own):
    assert not own.unlike(numbers_of(drawn(2, 200))).any()
    assert own.unlike(numbers_of(drawn(3, 20, mean=-3.0))).all()
    assert own.unlike(numbers_of(drawn(4, 20, spread=0.01))).all()
    smooth = np.linspace(-0.5, 0.5, 10)[:, None].repeat(10, 1)
    assert own.unlike(numbers_of(np.broadcast_to(smooth, (5, 3, 10, 10)))).all()


def test_a_class_that_differs_as_much_as_the_own_ones_do_passes(own):
    assert not own.unlike(numbers_of(drawn(5, 60, mean=-0.2))).any()


def test_volumes_are_described_as_pictures_are():
    assert numbers_of(drawn(6, 4, dims=3)).shape == (4, 9)


def test_a_picture_of_one_brightness_has_finite_numbers():
    assert np.isfinite(numbers_of(np.zeros((2, 1, 8, 8)))).all()


def test_too_few_images_or_one_class_say_nothing():
    numbers = numbers_of(drawn(7, 60))
    assert Pictures.of(numbers[:20], np.repeat([0, 1], 10)) is None
    assert Pictures.of(numbers, np.zeros(60, int)) is None
    assert Pictures.of(numbers, np.repeat([0, 1], [50, 10])) is not None
