"""Images as other sites' contracts ask for them: from the files, and between two contracts."""

import json

import nibabel as nib
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data import MetaTensor
from PIL import Image

from clinical_qkt.core.errors import InputError, PackageError
from clinical_qkt.data.inputs import InputContract, converted, covering
from clinical_qkt.data.resampling import recoloured, resampled
from clinical_qkt.data.transforms import adapter, by_areas, reading, symmetries
from tests.conftest import square

PICTURE = InputContract(channels=3, spatial_size=[28, 28])
VOLUME = InputContract(
    channels=1, spatial_size=[16, 16, 16], intensity="relative", intensity_range=(0, 1), spacing=[1, 1, 1]
)
CT = InputContract(channels=1, spatial_size=[32, 32], intensity="HU", intensity_range=(-160, 240))


def changed(contract: InputContract, **values) -> InputContract:
    return InputContract.model_validate({**contract.model_dump(), **values})


@pytest.fixture
def picture(tmp_path):
    Image.fromarray(square("red", 1, size=56)).save(tmp_path / "a.png")
    return tmp_path / "a.png"


@pytest.fixture
def volume(tmp_path):
    """A ball of 5 mm in the middle, stored back to front, with 2 mm between slices."""
    places = np.stack(np.meshgrid(*[np.arange(n) for n in (24, 30, 12)], indexing="ij"))
    middle = np.array([12, 15, 6])[:, None, None, None] - 0.5
    ball = np.linalg.norm((places - middle) * np.array([1, 1, 2])[:, None, None, None], axis=0) < 5
    affine = np.diag([1, -1, 2, 1])
    nib.save(nib.Nifti1Image(ball.astype(np.float32), affine), tmp_path / "v.nii.gz")
    return tmp_path / "v.nii.gz"


def prepared(path, contract, **item):
    return adapter(reading(contract.intensity), contract)({"image": str(path), **item})["image"]


CHANGES = {
    "size": {"spatial_size": [20, 24]},
    "window": {"intensity_range": (40, 200)},
    "value range": {"value_range": (0.0, 1.0)},
    "normalisation": {"value_range": (0.0, 1.0), "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]},
    "one mean for all": {"mean": [0.5], "std": [2.0]},
    "grey": {"channels": 1, "other_channels": "convert"},
}


@pytest.mark.parametrize("what", CHANGES)
def test_every_way_to_differ_gives_the_same_from_the_file_as_from_prepared_images(picture, what):
    theirs = changed(PICTURE, **CHANGES[what])
    assert theirs.obstacle(PICTURE) is None
    wide = covering([PICTURE, theirs])
    from_file = prepared(picture, theirs)
    from_prepared = converted(prepared(picture, wide)[None], wide, theirs)[0]
    assert from_file.shape == from_prepared.shape == (theirs.channels, *theirs.spatial_size)
    # Averaging pixels twice is not averaging them once: only sizes differ by a little.
    assert (from_file - from_prepared).abs().median() < (0.05 if what == "size" else 1e-5)


def test_normalisation_is_what_torchvision_users_expect(picture):
    theirs = changed(PICTURE, **CHANGES["normalisation"])
    plain = prepared(picture, changed(PICTURE, value_range=(0, 1)))
    mean, std = (torch.tensor(n).view(3, 1, 1) for n in (theirs.mean, theirs.std))
    assert torch.allclose(prepared(picture, theirs), (plain - mean) / std, atol=1e-5)


def test_grey_is_repeated_and_colour_becomes_luminance(picture, tmp_path):
    grey = np.arange(784, dtype=np.uint8).reshape(28, 28)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    colour = prepared(tmp_path / "grey.png", changed(PICTURE, other_channels="convert"))
    assert colour.shape == (3, 28, 28) and torch.equal(colour[0], colour[2])
    white = recoloured(torch.full((2, 3, 8, 8), 100.0), 1, axis=1)
    assert white.shape == (2, 1, 8, 8) and torch.allclose(white, torch.tensor(100.0))


@pytest.mark.parametrize(
    ("theirs", "ours", "says"),
    [
        (changed(PICTURE, channels=1), PICTURE, "does not say 'other_channels: convert'"),
        (changed(PICTURE, channels=4, other_channels="convert"), PICTURE, "4 channels, this site's have 3"),
        (VOLUME, changed(PICTURE, channels=1, intensity="relative"), "3 dimensions, this site's have 2"),
        (CT, changed(CT, intensity="display"), "Hounsfield units, this site's images hold brightness"),
        (changed(VOLUME, spacing=None), VOLUME, "expects no spacing, this site's images are prepared with"),
    ],
)
def test_what_would_have_to_be_guessed_is_refused(theirs, ours, says):
    with pytest.raises(PackageError, match=says):
        theirs.require_same_kind(ours, "package of site_b", "ask for another")


def test_a_volume_is_turned_and_resampled_from_its_affine(volume):
    seen = prepared(volume, VOLUME)
    assert seen.shape == (1, 16, 16, 16) and seen.min() == -1 and seen.max() == 1
    inside = (seen[0] > 0).float()
    along = [inside.amax(axis=tuple({0, 1, 2} - {k})).sum().item() for k in range(3)]
    assert all(8 <= n <= 10 for n in along)  # 10 voxels of 1 mm; 8 where slices lie 2 mm apart
    assert torch.equal(inside, inside.flip(1))


def test_a_volume_prepared_for_one_spacing_becomes_that_of_another(volume):
    coarse = changed(VOLUME, spacing=[2, 2, 2], spatial_size=[10, 10, 10])
    wide = covering([VOLUME, coarse])
    assert wide.spacing == [1, 1, 1] and wide.spatial_size == [20, 20, 20]
    theirs = converted(prepared(volume, wide)[None], wide, coarse)[0]
    assert (theirs - prepared(volume, coarse)).abs().mean() < 0.05


def test_what_lies_beyond_the_edge_is_dark(volume):
    large = changed(VOLUME, spatial_size=[48, 48, 48])
    seen = prepared(volume, large)
    assert seen[0, 0].max() == -1 and seen.max() == 1


def test_a_picture_tells_no_spacing(picture):
    with pytest.raises(RuntimeError) as e:  # MONAI's, around ours; the bundle prints ours
        prepared(picture, changed(PICTURE, spacing=[1, 1]))
    assert isinstance(e.value.__cause__, InputError) and "does not tell its spacing" in str(e.value.__cause__)


def test_a_tiny_spacing_costs_no_more_than_its_size(volume):
    assert prepared(volume, changed(VOLUME, spacing=[0.001] * 3)).shape == (1, 16, 16, 16)


@given(
    size=st.lists(st.integers(8, 24), min_size=2, max_size=3),
    mine=st.floats(0.3, 3),
    theirs=st.floats(0.3, 3),
)
@settings(max_examples=40, deadline=None)
def test_resampling_keeps_the_centre_and_a_plain_image_plain(size, mine, theirs):
    image = torch.full((1, 1, *size), 5.0)
    seen = resampled(image, [mine] * len(size), [9] * len(size), [theirs] * len(size), fill=0.0)
    assert seen.shape == (1, 1, *[9] * len(size))
    assert ((seen == 0) | ((seen - 5).abs() < 1e-4)).all() and seen[(0, 0, *[4] * len(size))] > 4


@given(
    sizes=st.lists(st.tuples(st.integers(8, 64), st.integers(8, 64)), min_size=1, max_size=4),
    windows=st.lists(st.tuples(st.integers(-1000, 0), st.integers(1, 1000)), min_size=4, max_size=4),
)
def test_a_covering_contract_covers_and_covering_again_changes_nothing(sizes, windows):
    contracts = [
        changed(CT, spatial_size=list(s), intensity_range=w) for s, w in zip(sizes, windows, strict=False)
    ]
    wide = covering(contracts)
    assert covering([wide, *contracts]) == wide
    for c in contracts:
        assert all(a >= b for a, b in zip(wide.spatial_size, c.spatial_size, strict=True))
        (low, high), (least, most) = c.intensity_range, wide.intensity_range
        assert least <= low < high <= most
    assert covering(contracts[:1] * 3) == contracts[0]


@pytest.mark.parametrize("theirs", [[32, 32], [24, 40], [20, 20]])
def test_a_committee_costs_its_own_member_nothing(theirs):
    """28 pixels to 32 and back would blur; divided evenly they come back as they were."""
    raw = {"image": torch.from_numpy(np.moveaxis(square("red", 3, size=28), -1, 0).copy())}
    wide = covering([PICTURE, changed(PICTURE, spatial_size=theirs)])
    direct, seen = (adapter([], c)(raw)["image"][None] for c in (PICTURE, wide))
    assert torch.allclose(converted(seen, wide, PICTURE), direct, atol=1e-5)


def test_adaptations_are_told_in_words():
    theirs = changed(PICTURE, channels=1, other_channels="convert", spatial_size=[32, 32], mean=[0], std=[2])
    assert theirs.adaptations(PICTURE) == [
        "colour reduced to grey",
        "size 32x32, not 28x28",
        "normalised in its own way",
    ]
    assert PICTURE.adaptations(PICTURE) == []
    assert changed(CT, intensity_range=(0, 80)).adaptations(CT) == ["window 0 to 80, not -160 to 240"]
    assert changed(VOLUME, spacing=[2, 2, 2]).adaptations(VOLUME) == ["spacing 2x2x2 mm, not 1x1x1 mm"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"mean": [0.5]},
        {"mean": [0.5, 0.5], "std": [1, 1]},
        {"std": [0.0], "mean": [0.0]},
        {"spacing": [1.0]},
        {"spacing": [0, 1]},
        {"intensity": "stored"},
        {"intensity_range": (0, float("nan"))},
        {"spatial_size": [1024, 1024, 1024]},
    ],
)
def test_a_senseless_contract_is_refused(wrong):
    with pytest.raises(ValueError, match="."):
        changed(PICTURE, **wrong)


def test_a_contract_survives_its_card():
    for contract in (PICTURE, VOLUME, CT):
        assert InputContract.model_validate(json.loads(contract.model_dump_json())) == contract


def test_mirrored_axes_are_those_that_are_named():
    image = torch.arange(27.0).reshape(1, 3, 3, 3)
    (flip,) = symmetries([3, 3, 3], [0])
    seen = {tuple(flip({"image": image})["image"].flatten().tolist()) for _ in range(50)}
    assert seen == {tuple(x.flatten().tolist()) for x in (image, image.flip(1))}


@pytest.mark.parametrize(
    ("shape", "size"), [((3, 35, 30), [28, 28]), ((1, 9, 8, 7), [4, 8, 9]), ((3, 8, 8), [8, 8])]
)
def test_averaging_areas_is_monais_to_the_last_bit(shape, size):
    from monai.transforms import Resize

    image = MetaTensor(torch.rand(shape, generator=torch.Generator().manual_seed(0)) * 255)
    wanted = Resize(size, mode="area")(image).as_tensor()
    assert torch.equal(by_areas(image, size), wanted)
