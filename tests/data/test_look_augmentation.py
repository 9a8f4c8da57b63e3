"""Images in training get looks of their own, and nothing else of them changes."""

from __future__ import annotations

import pytest
import torch
from monai.data import Dataset
from monai.data.utils import set_rnd
from monai.transforms import Compose

from clinical_qkt.data import batchwise
from clinical_qkt.data.inputs import InputContract
from clinical_qkt.data.look_augmentation import RandLookd, look_augmentation
from clinical_qkt.data.transforms import symmetries
from clinical_qkt.training.loop import plain_tensors

COLOUR = InputContract(channels=3, spatial_size=[12, 12])
KINDS = {
    "colour": COLOUR,
    "grey": InputContract(channels=1, spatial_size=[12, 10]),
    "HU": InputContract(channels=1, spatial_size=[8, 9, 10], intensity="HU", intensity_range=(-100, 300)),
    "relative": InputContract(
        channels=1, spatial_size=[8, 9, 10], intensity="relative", intensity_range=(0, 1), value_range=(0, 1)
    ),
}


def images(given: InputContract, count: int = 6) -> torch.Tensor:
    torch.manual_seed(0)
    low, high = given.value_range
    return torch.rand(count, given.channels, *given.spatial_size) * (high - low) + low


def looks(given: InputContract, seed: int = 0, level="strong") -> RandLookd:
    return RandLookd(level, given).set_random_state(seed)


@pytest.mark.parametrize("given", KINDS.values(), ids=KINDS)
def test_a_batch_gets_the_looks_that_its_images_would_get_one_by_one(given):
    seen = images(given)
    augment = [*symmetries(given.spatial_size), *look_augmentation("mild", given)]
    assert batchwise.known(augment)
    alone, together = (Dataset([{"image": x} for x in seen], Compose(augment)) for _ in range(2))
    set_rnd(alone, 3)
    with plain_tensors():
        expected = torch.stack([alone[i]["image"] for i in range(len(seen))])
    set_rnd(together, 3)
    parts = [batchwise.changed(part, together.transform.transforms) for part in seen.split(4)]
    assert torch.allclose(torch.cat(parts), expected, atol=1e-5)


@pytest.mark.parametrize("given", KINDS.values(), ids=KINDS)
def test_looks_differ_between_images_and_stay_within_the_range_of_values(given):
    same = images(given, 1).expand(8, *[-1] * (1 + len(given.spatial_size)))
    found = looks(given).of_batch(same)
    low, high = given.value_range
    assert found.shape == same.shape and float(found.min()) >= low and float(found.max()) <= high
    assert len({round(float(x.sum()), 3) for x in found}) == 8
    mild = looks(given, level="mild").of_batch(same)
    assert float((mild - same).abs().mean()) < float((found - same).abs().mean()) / 1.5


@pytest.mark.parametrize(
    ("kind", "tone", "noise"),
    [("colour", True, True), ("grey", True, False), ("HU", False, True), ("relative", True, False)],
)
def test_of_an_even_image_the_tone_changes_where_there_is_one_and_it_stays_even_but_for_noise(
    kind, tone, noise
):
    given = KINDS[kind]
    low, high = given.value_range
    even = torch.full((16, given.channels, *given.spatial_size), low + 0.4 * (high - low))
    found = looks(given).of_batch(even).flatten(2)
    spread, shift = found.std(2), (found.mean(2) - even.flatten(2).mean(2)).abs().mean() / (high - low)
    assert bool((spread > 1e-3 * (high - low)).any()) == noise
    assert (float(shift) > 0.01) == tone


def test_channels_are_mixed_in_colour_pictures_alone():
    red = torch.ones(4, 3, 12, 12)
    red[:, 0] = -0.5  # only red light is held back, so that a mixed stain holds back green, too
    unstained = RandLookd("strong", COLOUR).set_random_state(1)
    unstained.parts = frozenset()
    assert torch.allclose(unstained.of_batch(red), red, atol=1e-5)
    unstained.parts = frozenset({"stain"})
    found = unstained.of_batch(red)
    assert float((found[:, 1:] - 1).abs().max()) > 0.02


def test_a_network_that_takes_normalised_images_is_given_the_same_looks():
    normalised = COLOUR.model_copy(update={"mean": [0.1, 0.2, 0.3], "std": [0.5, 0.6, 0.7]})
    seen = images(COLOUR)
    found = looks(normalised).of_batch(normalised.normalised(seen))
    assert torch.allclose(found, normalised.normalised(looks(COLOUR).of_batch(seen)), atol=1e-4)


@pytest.mark.parametrize("given", KINDS.values(), ids=KINDS)
def test_in_training_about_half_of_the_images_keep_their_look_to_the_last_bit(given):
    seen = images(given, 200)
    (augment,) = look_augmentation("strong", given)
    found = augment.set_random_state(0).of_batch(seen)
    kept = [torch.equal(a, b) for a, b in zip(found, seen, strict=True)]
    assert 70 < sum(kept) < 130


def test_none_changes_nothing():
    assert look_augmentation("none", COLOUR) == []
