"""The look of images: measured, mapped, compared."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor
from torch.nn.functional import avg_pool2d

from clinical_qkt.core.errors import PackageError
from clinical_qkt.data import look
from clinical_qkt.data.inputs import InputContract, converted
from clinical_qkt.data.look_map import MOST_GAIN, MOST_STRETCH, LookMap, gains_of, stretch
from clinical_qkt.data.look_shared import ClassLook, compared, looks_of, spread_of


def pictures(count: int = 30, seed: int = 0) -> Tensor:
    drawn = torch.rand(count, 3, 20, 20, generator=torch.Generator().manual_seed(seed))
    return avg_pool2d(drawn, 3, 1, 1) * 0.5 + 0.2


def stained(images: Tensor) -> Tensor:
    """As another laboratory would show them: gamma, gain, offset."""
    return (images**1.4 * 0.9 + 0.03).clamp(0, 1)


def measured(images: Tensor) -> Tensor:
    return look.measured(images, "optical density")


def test_a_look_has_a_name_for_each_number_and_is_put_together_as_it_was_taken_apart():
    for channels in (1, 3):
        assert len(look.names(channels)) == look.numbers(channels)
        one = look.measured(torch.rand(1, channels, 16, 16), "linear")[0]
        torch.testing.assert_close(look.joined(*look.parts(one, channels)), one)


def test_tones_come_back():
    shares = torch.linspace(0, 1, 256, dtype=torch.float64)
    for scale in ("optical density", "linear", "calibrated"):
        torch.testing.assert_close(look.shares(look.tones(shares, scale), scale), shares)


def test_blurring_lowers_the_high_bands_of_sharpness_and_hardly_the_lowest():
    sharp = torch.rand(20, 1, 32, 32)
    change = (look.measured(avg_pool2d(sharp, 3, 1, 1), "linear") - look.measured(sharp, "linear")).mean(0)
    assert change[-1] < -1 and abs(change[-look.BANDS]) < 0.3


def test_a_map_brings_images_back_to_the_look_that_they_had():
    before, after = pictures(), stained(pictures())
    one, other = measured(before).mean(0), measured(after).mean(0)
    back = LookMap.between(other, one).applied(after, "optical density")
    assert (measured(back).mean(0) - one).abs().max() < 0.02 * (other - one).abs().max()
    assert (back - before).abs().mean() < 0.05 * (after - before).abs().mean()


def test_between_looks_that_are_the_same_nothing_is_changed():
    images = pictures()
    same = measured(images).mean(0)
    torch.testing.assert_close(LookMap.between(same, same).applied(images, "optical density"), images)


def test_hounsfield_units_keep_their_tones():
    soft = avg_pool2d(torch.rand(10, 1, 24, 24), 3, 1, 1)
    seen, wanted = (look.measured(x, "calibrated").mean(0) for x in (soft, soft * 0.5 + 0.4))
    mapped = LookMap.between(seen, wanted).applied(soft, "calibrated")
    assert (mapped.mean() - soft.mean()).abs() < 1e-3


def test_volumes_are_mapped_as_well():
    volumes = torch.rand(6, 1, 12, 10, 8)
    seen, wanted = (look.measured(x, "linear").mean(0) for x in (volumes * 0.5, volumes))
    assert (LookMap.between(seen, wanted).applied(volumes * 0.5, "linear") - volumes).abs().max() < 0.01


numbers = st.lists(st.floats(-100, 100), min_size=15, max_size=15)


@settings(max_examples=40, deadline=None)
@given(numbers, numbers)
def test_whatever_two_looks_say_no_image_is_blown_up_or_made_one_colour(seen, wanted):
    images = pictures(2)
    mapped = LookMap(seen=seen, wanted=wanted).applied(images, "optical density")
    assert torch.isfinite(mapped).all() and mapped.min() >= 0 and mapped.max() <= 1
    one, other = (look.parts(torch.tensor(n, dtype=torch.float64), 3) for n in (seen, wanted))
    values = torch.linalg.eigvalsh(stretch(one[1], other[1]))
    assert values.min() > 0.99 / MOST_STRETCH and values.max() < 1.01 * MOST_STRETCH
    gains = gains_of(one[2], other[2])
    assert gains.min() >= 0.99 / MOST_GAIN and gains.max() <= 1.01 * MOST_GAIN


@pytest.mark.parametrize(
    "bad", [[float("nan")] * 15, [float("inf")] * 15, [101.0] * 15, [0.1] * 7, [0.1] * 161, ["a"] * 15]
)
def test_a_look_that_no_image_has_is_refused(bad):
    with pytest.raises(ValidationError):
        LookMap(seen=bad, wanted=bad)


def test_a_look_of_other_channels_is_refused_by_the_contract():
    grey = LookMap(seen=[0.1] * 8, wanted=[0.1] * 8)
    with pytest.raises(ValidationError, match="15 numbers for 3 channels"):
        InputContract(channels=3, spatial_size=[28, 28], look=grey)


def test_images_that_are_one_colour_are_measured_and_mapped_without_nan():
    flat = torch.full((4, 3, 16, 16), 0.5)
    one, other = measured(flat).mean(0), measured(pictures()).mean(0)
    for seen, wanted in ((one, other), (other, one)):
        assert torch.isfinite(LookMap.between(seen, wanted).applied(flat, "optical density")).all()


def test_a_contract_with_a_look_prepares_images_in_it_and_without_one_says_nothing_of_it():
    plain = InputContract(channels=3, spatial_size=[20, 20])
    before, after = pictures(), stained(pictures())
    seen, wanted = (plain.look_of(plain.values(255 * x)).mean(0) for x in (after, before))
    changed = plain.model_copy(update={"look": LookMap.between(seen, wanted)})
    assert (changed.values(255 * after) - plain.values(255 * before)).abs().mean() < 0.02
    assert "look" not in plain.model_dump() and changed.plain == plain
    assert InputContract.model_validate_json(changed.model_dump_json()) == changed
    assert changed.adaptations(plain) == ["brought to the look of its training images"]
    torch.testing.assert_close(
        converted(plain.values(255 * after), plain, changed), changed.values(255 * after), atol=1e-4, rtol=0
    )
    with pytest.raises(PackageError, match="one model's look"):
        converted(before, changed, plain)


def test_looks_count_patients_and_not_images():
    numbers = torch.tensor([[0.0], [0.0], [0.0], [4.0]]).double()
    found = looks_of(numbers, ["cell"] * 4, ["a", "a", "a", "b"])
    assert found["cell"].count == 2 and float(found["cell"].numbers) == 2.0


def by_class(images: Tensor, classes: str) -> dict:
    return looks_of(measured(images), [c for c in classes for _ in range(len(images) // len(classes))])


def tinted(images: Tensor) -> Tensor:
    """The second half are of a class of another colour."""
    half = len(images) // 2
    return torch.cat([images[:half], images[half:] * torch.tensor([1.0, 0.6, 0.8])[:, None, None]])


def test_the_mix_of_classes_is_no_difference_in_look():
    images = tinted(pictures(60))
    mine, spread = by_class(images, "ab"), spread_of(measured(images), ["a"] * 30 + ["b"] * 30)
    other = looks_of(measured(tinted(pictures(60, seed=1))[20:]), ["a"] * 10 + ["b"] * 30)
    found = compared(other, mine, spread)
    assert found.shared == ("a", "b") and found.alike


def test_sites_that_share_no_class_are_compared_through_a_third():
    images = tinted(pictures(60))
    spread = spread_of(measured(images), ["a"] * 30 + ["b"] * 30)
    asker = {"a": by_class(images, "ab")["a"]}
    answering = {"b": by_class(stained(images), "ab")["b"]}
    third = by_class((0.9 * images + 0.05), "ab")
    told = compared(answering, asker, spread, [third])
    assert told.shared == () and not told.alike and told.before is not None and told.map.steps == 2
    back = told.map.applied(stained(images[30:]), "optical density")
    assert (back - images[30:]).abs().mean() < 0.1 * (stained(images[30:]) - images[30:]).abs().mean()
    assert compared(answering, asker, spread) is None and compared({}, asker, spread, [third]) is None


def test_the_way_from_site_to_site_is_short_and_rests_on_most_images():
    def site(**counts):
        return {c: ClassLook(n, torch.zeros(15).double()) for c, n in counts.items()}

    one, other, few, many = site(a=9), site(b=9), site(a=1, b=9), site(a=5, b=9)
    spread = torch.ones(15).double()
    many["a"] = ClassLook(5, torch.ones(15).double())
    assert float(compared(one, other, spread, [few, many]).before.wanted.mean()) == 1
    assert compared(one, site(a=9, b=9), spread, [few]).before is None
    long = [site(a=9, c=9), site(c=9, d=9), site(d=9, e=9), site(e=9, b=9)]
    assert compared(one, other, spread, [*long[:2], site(d=9, b=9)]) is None
    assert compared(one, other, spread, [site(a=9, c=9), site(c=9, b=9)]).map.steps == 3


def test_maps_after_maps_have_an_end():
    flat = {"seen": [0.1] * 15, "wanted": [0.2] * 15}
    nested = flat
    for _ in range(3):
        nested = {**flat, "before": nested}
    with pytest.raises(ValidationError, match="more than 3 maps"):
        LookMap.model_validate(nested)
