"""Images that are opened before a stage computes anything."""

from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from clinical_qkt.core.errors import InputError
from clinical_qkt.data.formats import ImageRefused
from clinical_qkt.data.images import check_images, raw_image, require_content
from clinical_qkt.data.inputs import InputContract
from tests.conftest import square

PICTURE = InputContract(channels=3, spatial_size=[28, 28])
VOLUME = InputContract(channels=1, spatial_size=[8, 8, 8], intensity="relative", intensity_range=(0, 1))


def saved(folder: Path, *pictures: np.ndarray) -> list[Path]:
    for k, picture in enumerate(pictures):
        Image.fromarray(picture).save(folder / f"{k}.png")
    return [folder / f"{k}.png" for k in range(len(pictures))]


def test_a_blank_image_is_left_out_by_name_and_many_are_an_error(tmp_path):
    good, blank = [square("red", i) for i in range(20)], np.full((20, 20, 3), 9, np.uint8)
    check = check_images(saved(tmp_path, *good, blank), "list.json", contract=PICTURE)
    assert check.skipped == [("20.png", "shows nothing: all its pixels have the same value")]
    with pytest.raises(InputError, match="list.json: 5 of 25 images .* '20.png': shows nothing"):
        check_images(saved(tmp_path, *good, *[blank] * 5), "list.json")


@pytest.mark.parametrize("declared", [(0, 1), (300, 400), (-5, 0)])
def test_values_outside_the_declared_range_are_an_error_that_tells_the_key(tmp_path, declared):
    files = saved(tmp_path, *(square("red", i) for i in range(5)))
    contract = PICTURE.model_copy(update={"intensity_range": declared})
    with pytest.raises(
        InputError, match=r"'0.png': \d+% of its values lie outside 'input::intensity_range'"
    ) as e:
        check_images(files, "list.json", contract=contract)
    assert "'input::intensity_range' to what the images hold" in e.value.fix
    assert check_images(files, "list.json", contract=PICTURE).skipped == []


def test_a_window_may_cut_off_a_part_of_an_image(tmp_path):
    values = np.linspace(0, 255, 400).reshape(20, 20)
    require_content(values, PICTURE.model_copy(update={"intensity_range": (60, 220)}))
    with pytest.raises(ImageRefused, match="80% of its values"):
        require_content(values, PICTURE.model_copy(update={"intensity_range": (100, 151)}))
    ct = InputContract(channels=1, spatial_size=[8, 8], intensity="HU", intensity_range=(0, 80))
    head = np.full((100, 100), -1000.0)
    head[40:60, 40:60] = np.linspace(0, 80, 400).reshape(20, 20)
    require_content(head, ct)
    with pytest.raises(ImageRefused, match="100% of its values"):
        require_content(head - 2000, ct)


def test_a_volume_that_is_not_relative_is_told_from_one_that_is(tmp_path):
    values = np.random.default_rng(0).normal(300, 50, (9, 9, 9)).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), tmp_path / "a.nii.gz")
    with pytest.raises(InputError, match="100% of its values lie outside") as e:
        check_images([tmp_path / "a.nii.gz"], "list.json", contract=VOLUME)
    assert "clinical-qkt prepare" in e.value.fix
    low, high = np.percentile(values, (1, 99))
    nibabel.save(nibabel.Nifti1Image((values - low) / (high - low), np.eye(4)), tmp_path / "a.nii.gz")
    assert check_images([tmp_path / "a.nii.gz"], "list.json", contract=VOLUME).kinds == {"nifti"}


def test_numbers_of_another_meaning_are_refused(tmp_path):
    (file,) = saved(tmp_path, square("red", 0))
    with pytest.raises(ImageRefused, match="a picture holds no intensities of the kind 'HU'"):
        raw_image(file, "HU")
    contract = VOLUME.model_copy(update={"spatial_size": [8, 8]})
    with pytest.raises(InputError, match="holds no intensities of the kind 'relative'"):
        check_images([file], "list.json", contract=contract)
