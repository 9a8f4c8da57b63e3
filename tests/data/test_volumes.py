import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinical_qkt.data.formats import ImageRefused
from clinical_qkt.data.images import raw_image
from clinical_qkt.data.volumes import framed, read_volume, scaled, spacing_of, write_volume
from clinical_qkt.prepare.patches import Cutting, cut, window

LAS = np.array([[-2.0, 0, 0, 50], [0, 2, 0, -10], [0, 0, 3, 5], [0, 0, 0, 1]])


def corner(shape=(10, 12, 8)):
    """A volume that is 1 in the corner with the lowest indices."""
    values = np.zeros(shape, np.float32)
    values[:3, :3, :3] = 1
    return values


def test_a_volume_is_turned_to_ras_and_resampled():
    values, affine = framed(corner(), LAS, None)
    assert values[-1, 0, 0] == 1 and values[0, 0, 0] == 0  # left was first, now right is last
    assert spacing_of(affine) == (2, 2, 3) and np.all(np.diag(affine)[:3] > 0)
    fine, affine = framed(corner(), LAS, 1.0)
    assert spacing_of(affine) == pytest.approx((1, 1, 1)) and fine.shape == (19, 23, 22)
    assert set(np.unique(framed(corner(), LAS, 1.0, labels=True)[0])) == {0, 1}


def test_the_place_in_space_is_kept():
    """The bright corner's centre of mass lies where it was, in millimetres."""
    values = corner()
    before = LAS @ [*np.argwhere(values).mean(0), 1]
    for spacing in (None, 1.0):
        moved, affine = framed(values, LAS, spacing)
        weights = moved / moved.sum()
        centre = [(weights * g).sum() for g in np.indices(moved.shape)]
        assert affine @ [*centre, 1] == pytest.approx(before, abs=0.6)


def test_relative_intensities_are_the_volumes_own_percentiles():
    values = np.linspace(0, 1000, 1001, dtype=np.float32).reshape(7, 11, 13)
    found = scaled(values, "relative")
    assert (found.min(), found.max()) == (0, 1) and found.ravel()[500] == pytest.approx(0.5)
    assert scaled(values, "HU") is values
    with pytest.raises(ImageRefused, match="same value"):
        scaled(np.ones((3, 3, 3), np.float32), "relative")


def test_a_written_volume_is_bare_and_the_same_every_time(tmp_path):
    for name in ("a.nii.gz", "b.nii.gz"):
        write_volume(tmp_path / name, corner(), LAS)
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()
    header = nibabel.load(tmp_path / "a.nii.gz").header
    assert bytes(header["descrip"]).strip(b"\0") == b"" and bytes(header["intent_name"]).strip(b"\0") == b""
    values, affine = read_volume(tmp_path / "a.nii.gz")
    assert np.array_equal(values, corner()) and np.allclose(affine, LAS)
    assert raw_image(tmp_path / "a.nii.gz").shape == (1, 10, 12, 8)


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (nibabel.Nifti1Image(np.zeros((4, 4, 4, 2)), np.eye(4)), "has 4 axes"),
        (nibabel.Nifti1Image(np.zeros((4, 4)), np.eye(4)), "has 2 axes"),
        (nibabel.Nifti1Image(np.full((4, 4, 4), np.nan), np.eye(4)), "not finite"),
    ],
)
def test_what_is_no_volume_is_refused(tmp_path, image, reason):
    nibabel.save(image, tmp_path / "x.nii.gz")
    with pytest.raises(ImageRefused, match=reason):
        read_volume(tmp_path / "x.nii.gz")


def test_a_volume_that_lies_nowhere_is_refused(tmp_path):
    image = nibabel.Nifti1Image(np.zeros((4, 4, 4)), np.eye(4))
    image.header["srow_x"] = 0
    (tmp_path / "x.nii").write_bytes(image.header.binaryblock + b"\0" * 4 + bytes(8 * 64))
    with pytest.raises(ImageRefused, match="affine"):
        read_volume(tmp_path / "x.nii")


def labelled(shape=(40, 44, 40)):
    """Two balls of 7 mm radius in a volume of 1 mm voxels."""
    x, y, z = np.indices(shape)
    labels = np.zeros(shape)
    labels[(x - 20) ** 2 + (y - 14) ** 2 + (z - 20) ** 2 < 49] = 1
    labels[(x - 20) ** 2 + (y - 30) ** 2 + (z - 20) ** 2 < 49] = 2
    return labels


def test_patches_are_cut_in_their_parts_and_away_from_them():
    labels = labelled()
    cutting = Cutting({"front": 1, "back": 2}, "neither", edge=9, count=3)
    found = list(cut(labels, labels, np.eye(4), cutting, np.random.default_rng(0)))
    assert [p.name for p in found] == ["front"] * 3 + ["back"] * 3 + ["neither"] * 3
    for patch in found:
        assert patch.values.shape == (9, 9, 9)
        assert patch.values[4, 4, 4] == {"front": 1, "back": 2, "neither": 0}[patch.name]
        at = patch.affine[:3, 3].astype(int)
        assert np.array_equal(patch.values, window(labels, at, np.array([9] * 3)))
    assert not any(p.values[2:7, 2:7, 2:7].any() for p in found if p.name == "neither")


def test_thin_parts_give_no_patch_and_neither_can_be_left_out():
    labels = np.zeros((30, 30, 30))
    labels[15, 15, 5:25] = 1
    assert not list(cut(labels, labels, np.eye(4), Cutting({"line": 1}, ""), np.random.default_rng(0)))


@given(st.integers(-6, 12), st.integers(1, 9))
@settings(max_examples=50)
def test_a_window_over_the_edge_is_filled_with_the_lowest_value(start, size):
    values = np.arange(1000, dtype=np.float32).reshape(10, 10, 10) - 7
    found = window(values, np.array([start] * 3), np.array([size] * 3))
    padded = np.pad(values, 30, constant_values=-7)
    assert np.array_equal(found, padded[tuple(slice(start + 30, start + 30 + size) for _ in range(3))])
