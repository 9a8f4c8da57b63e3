import pytest
import torch
from monai.networks.layers import GaussianFilter
from scipy.ndimage import grey_dilation

from clinical_qkt.data.variations import blurred, dilated, variations


def images(channels: int, size: list[int]) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    plain = torch.rand(3, channels, *size, generator=generator) * 0.3 + 0.6
    plain[(slice(None), slice(None), *[slice(3, 7)] * len(size))] -= 0.4  # something dark in the middle
    return plain


@pytest.mark.parametrize(("channels", "size"), [(1, [12, 12]), (3, [12, 10]), (1, [10, 10, 10])])
def test_every_variation_works_on_grey_colour_and_volumes_and_changes_the_image(channels, size):
    unit = images(channels, size)
    before = unit.clone()
    found = variations(channels)
    for name, vary in found.items():
        changed = vary(unit)
        assert changed.shape == unit.shape and torch.isfinite(changed).all(), name
        assert not torch.allclose(changed, unit, atol=1e-3), name
        assert torch.equal(changed, vary(unit)), name
    assert torch.equal(unit, before)
    assert len(found) == len(variations(1)) + (channels - 1) * 12


@pytest.mark.parametrize("share", [0.01, 0.035, 0.12, 0.6])
@pytest.mark.parametrize("size", [[1, 5], [33, 40], [12, 9, 14]])
def test_a_blur_is_monais(size, share):
    unit = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0))
    expected = GaussianFilter(len(size), share * min(size))(unit)
    assert torch.allclose(blurred(unit, share), expected, atol=1e-6)


@pytest.mark.parametrize("size", [[2, 7], [9, 12], [6, 5, 8]])
@pytest.mark.parametrize("across", [3, 5])
def test_dilation_takes_the_largest_value_within_a_square_or_cube(size, across):
    unit = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0))
    expected = grey_dilation(unit.numpy(), (1, 1, *[across] * len(size)), mode="nearest")
    assert torch.equal(dilated(unit, across), torch.from_numpy(expected))


def test_an_image_of_one_value_stays_finite():
    flat = torch.full((2, 1, 8, 8), 0.5)
    for name, vary in variations(1).items():
        assert torch.isfinite(vary(flat)).all(), name


def test_shape_and_tone_are_changed_as_their_names_say():
    unit, found = images(1, [12, 12]), variations(1)
    dark = lambda x: float((x < 0.5).float().mean())  # noqa: E731
    assert dark(found["zoom 1.7"](unit)) > 1.5 * dark(unit) > 3 * dark(found["zoom 0.6"](unit))
    assert dark(found["erode 3"](unit)) > dark(unit) > dark(found["dilate 3"](unit))
    assert found["blur 0.12"](unit).std() < unit.std() < found["sharpen 2.0 0.03"](unit).std()
    band = found["+0.15 in channel 0 from 0.0 to 0.1"](unit) - unit
    assert band[unit < 0.5].max() == pytest.approx(0.15) and band[unit > 0.7].abs().max() == 0
    toned = found["tones of another"](unit)
    assert torch.equal(toned.flatten(2).sort(2).values, unit.roll(1, 0).flatten(2).sort(2).values)
