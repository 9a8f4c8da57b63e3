from collections import Counter

import numpy as np
import pytest
import torch
from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged
from PIL import Image

from clinical_qkt.data.inputs import InputContract, converted
from clinical_qkt.data.transforms import adapter, symmetries
from tests.conftest import square

READ = [LoadImaged("image", reader="PILReader", image_only=True), EnsureChannelFirstd("image")]


@pytest.mark.parametrize("size", [[28, 28], [64, 64], [10, 16]])
def test_an_image_is_prepared_as_the_contract_says(tmp_path, size):
    Image.fromarray(square("red", 0)).save(tmp_path / "a.png")
    contract = InputContract(channels=3, spatial_size=size, intensity_range=(0, 255), value_range=(0, 2))
    image = adapter(READ, contract)({"image": str(tmp_path / "a.png")})["image"]
    assert image.shape == (3, *size) and image.dtype == torch.float32
    assert image.min() >= 0 and image.max() <= 2


def test_intensities_map_linearly_and_are_clipped(tmp_path):
    Image.fromarray(np.array([[0, 50], [100, 255]], np.uint8).repeat(8, 0).repeat(8, 1)).save(
        tmp_path / "a.png"
    )
    contract = InputContract(
        channels=1, spatial_size=[16, 16], intensity_range=(50, 150), value_range=(-1, 1)
    )
    image = adapter(READ, contract)({"image": str(tmp_path / "a.png")})["image"]
    assert sorted(set(image.flatten().tolist())) == [-1.0, 0.0, 1.0]


@pytest.mark.parametrize(
    "wrong",
    [
        {"channels": 0},
        {"spatial_size": [4, 28]},
        {"spatial_size": [28]},
        {"value_range": (1, 1)},
        {"mean": 0.5},
    ],
)
def test_a_senseless_contract_is_refused(wrong):
    with pytest.raises(ValueError, match="."):
        InputContract.model_validate({"channels": 3, "spatial_size": [28, 28], **wrong})


def test_a_square_has_eight_symmetries_equally_likely_and_an_oblong_four():
    for size, shape in (([2, 2], (1, 2, 2)), ([2, 3], (1, 2, 3))):
        image = torch.arange(float(np.prod(shape))).reshape(shape)
        change, seen = Compose(symmetries(size)).set_random_state(0), Counter()
        for _ in range(800):
            changed = change({"image": image})["image"]
            assert changed.shape == shape
            seen[tuple(changed.flatten().tolist())] += 1
        expected = 8 if size[0] == size[1] else 4
        assert len(seen) == expected and min(seen.values()) > 0.6 * 800 / expected


@pytest.mark.parametrize("size", [28, 14])
def test_an_image_prepared_for_one_contract_becomes_what_another_asks_for(size):
    raw = {"image": torch.from_numpy(np.moveaxis(square("red", 1, size=28), -1, 0))}
    mine = InputContract(channels=3, spatial_size=[28, 28])
    theirs = InputContract(
        channels=3, spatial_size=[size, size], intensity_range=(50, 200), value_range=(0, 1)
    )
    here, there = (adapter([], c)(raw)["image"][None] for c in (mine, theirs))
    # What is clipped before or after averaging differs where a pixel of a block leaves the range.
    difference = (converted(here, mine, theirs) - there).abs()
    assert difference.median() < 1e-3 and difference.max() < 0.2
    assert torch.equal(converted(here, mine, mine), here)
