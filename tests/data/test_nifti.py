"""NIfTI files: values, units and places as the format means them, or refused by name."""

import gzip

import nibabel
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from monai.transforms import Compose, EnsureChannelFirstd, Orientationd

from clinical_qkt.data.formats import ImageRefused
from clinical_qkt.data.loading import loader
from clinical_qkt.data.transforms import reading
from clinical_qkt.data.volumes import VolumeReader, read_labels, read_volume, spacing_of

SHAPE = (4, 5, 6)
COUNT = np.arange(120, dtype=np.int16).reshape(SHAPE)


@pytest.fixture
def saved(tmp_path):
    def save(values, affine=None, kind=nibabel.Nifti1Image, name="x.nii.gz", **header):
        image = kind(values, np.eye(4) if affine is None else affine, dtype=values.dtype)
        for field, value in header.items():
            image.header[field] = value
        nibabel.save(image, tmp_path / name)
        return tmp_path / name

    return save


@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize(
    ("stored", "reason"),
    [
        ("complex64", "holds complex numbers"),
        ("complex128", "holds complex numbers"),
        ([("R", "u1"), ("G", "u1"), ("B", "u1")], r"holds colours \(RGB\)"),
        ([("R", "u1"), ("G", "u1"), ("B", "u1"), ("A", "u1")], r"holds colours \(RGBA\)"),
    ],
)
def test_voxels_that_are_not_one_real_number_are_refused_by_name(saved, kind, stored, reason):
    file = saved(np.ones(SHAPE, stored), kind=kind)
    with pytest.raises(ImageRefused, match=f"^{reason}"):
        read_volume(file)


@pytest.mark.parametrize("stored", ["u1", "i1", "<i2", ">i2", "u2", "i4", "u4", "i8", "f4", "f8"])
def test_every_type_of_real_number_is_read(saved, stored):
    assert np.array_equal(read_volume(saved(COUNT.astype(stored)))[0], COUNT)


@pytest.mark.parametrize(
    ("code", "factor"), [(0, 1), (1, 1000), (2, 1), (3, 0.001), (2 + 8, 1), (3 + 16, 0.001)]
)
def test_lengths_are_turned_into_millimetres(saved, code, factor):
    affine = np.array([[-0.5, 0, 0, 10], [0, 0.25, 0, -3], [0, 0, 0.75, 2], [0, 0, 0, 1]])
    values, found = read_volume(saved(COUNT, affine, xyzt_units=code))
    expected = affine.copy()
    expected[:3] *= factor
    assert np.allclose(found, expected) and found[3].tolist() == [0, 0, 0, 1]
    assert np.array_equal(values, COUNT) and spacing_of(found) == pytest.approx(
        (0.5 * factor, 0.25 * factor, 0.75 * factor)
    )


@pytest.mark.parametrize("code", [4, 7])
def test_a_unit_that_nifti_does_not_know_is_refused(saved, code):
    with pytest.raises(ImageRefused, match="a unit of length that NIfTI does not know"):
        read_volume(saved(COUNT, xyzt_units=code))


def test_voxels_of_a_metre_are_a_wrong_unit_and_of_a_micrometre_are_not_flat(saved):
    with pytest.raises(ImageRefused, match="its unit of length is wrong"):
        read_volume(saved(COUNT, xyzt_units=1))
    assert spacing_of(read_volume(saved(COUNT, xyzt_units=3))[1]) == pytest.approx((0.001,) * 3)
    with pytest.raises(ImageRefused, match="does not place its voxels"):
        read_volume(saved(COUNT, np.array([[1.0, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])))


@pytest.mark.parametrize(("slope", "inter"), [(0, 0), (0, 7), (float("nan"), float("nan"))])
def test_a_slope_of_0_or_none_means_unscaled(saved, slope, inter):
    file = saved(COUNT, name="x.nii")
    rescale(file, slope, inter)
    assert np.array_equal(read_volume(file)[0], COUNT)


def test_values_are_scaled_as_the_header_says(saved):
    file = saved(COUNT, name="x.nii")
    rescale(file, -0.5, 3)
    assert np.allclose(read_volume(file)[0], COUNT * -0.5 + 3)


@pytest.mark.parametrize(("slope", "inter"), [(1, float("inf")), (1, float("nan")), (3e38, 0)])
def test_a_scaling_that_is_no_number_is_refused(saved, slope, inter):
    file = saved(COUNT, name="x.nii")
    rescale(file, slope, inter)
    with pytest.raises(ImageRefused, match="cannot be read|not finite"):
        read_volume(file)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_values_that_are_not_finite_are_refused(saved, value):
    values = COUNT.astype(float)
    values[1, 2, 3] = value
    with pytest.raises(ImageRefused, match="not finite"):
        read_volume(saved(values))


def test_a_file_of_another_format_under_a_nifti_name_is_refused(tmp_path):
    image = nibabel.MGHImage(COUNT.astype(np.float32), np.eye(4))
    nibabel.save(image, tmp_path / "x.mgz")
    (tmp_path / "x.mgz").rename(tmp_path / "x.nii.gz")
    with pytest.raises(ImageRefused):
        read_volume(tmp_path / "x.nii.gz")


@given(st.floats(0, 1))
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_volume_that_is_cut_is_truncated(saved, share):
    file = saved(np.random.default_rng(0).normal(size=SHAPE))
    content = file.read_bytes()
    file.write_bytes(content[: int(share * (len(content) - 9))])
    with pytest.raises(ImageRefused, match="truncated"):
        read_volume(file)
    whole = gzip.decompress(content)
    plain = file.with_name("y.nii")
    plain.write_bytes(whole[: int(share * (len(whole) - 1))])
    with pytest.raises(ImageRefused, match="truncated"):
        read_volume(plain)


@given(st.integers(0, 10**6), st.integers(0, 7))
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_one_wrong_bit_in_a_compressed_volume_is_found(saved, place, bit):
    """Noise does not compress: without the checksum a bit of it would be another value, and nothing else."""
    noise = np.random.default_rng(0).integers(0, 2**15, (20, 20, 20), dtype=np.int16)
    file = saved(noise)
    content = bytearray(file.read_bytes())
    content[500 + place % (len(content) - 500)] ^= 1 << bit
    file.write_bytes(content)
    with pytest.raises(ImageRefused, match="truncated or damaged"):
        read_volume(file)


def test_the_header_of_a_pair_without_its_other_file_is_refused(saved):
    file = saved(COUNT, name="x.nii")
    file.write_bytes(file.read_bytes()[:344] + b"ni1\0")
    with pytest.raises(ImageRefused, match="truncated or damaged"):
        read_volume(file)


def test_labels_that_are_nearly_whole_are_rounded_and_others_refused(saved):
    labels = (COUNT % 3).astype(np.float32)
    found, _ = read_labels(saved(labels + 0.0009))
    assert np.array_equal(found, labels)
    file = saved(COUNT % 3, name="x.nii")
    rescale(file, 1 / 3, 0)
    with pytest.raises(ImageRefused, match="no whole numbers"):
        read_labels(file)
    with pytest.raises(ImageRefused, match="no whole numbers"):
        read_labels(saved(labels + 0.002))
    with pytest.raises(ImageRefused, match="not told apart"):
        read_labels(saved(np.full(SHAPE, 2**24 + 1, np.int32)))


def rescale(file, slope, inter):
    """Write a scaling into a header as it is, which nibabel would correct."""
    content = bytearray(file.read_bytes())
    content[112:120] = np.array([slope, inter], "<f4").tobytes()
    file.write_bytes(content)


def test_monai_reads_volumes_as_prepare_does(saved):
    affine = np.array([[-0.002, 0, 0, 0.1], [0, 0.002, 0, 0], [0, 0, 0.003, 0], [0, 0, 0, 1]])
    file = saved(COUNT[..., None], affine, xyzt_units=1, descrip=b"Doe Jane")
    image = Compose(reading("relative"))({"image": str(file)})["image"]
    assert image.shape == (1, *SHAPE) and image.pixdim.tolist() == pytest.approx([2, 2, 3])
    assert np.array_equal(image[0].numpy(), read_volume(file)[0]) and "Doe" not in str(image.meta)
    assert "original_affine" in image.meta  # by this the input contract knows that a spacing is stated
    turned = Orientationd("image", axcodes="RAS", labels=None)({"image": image})["image"]
    assert np.array_equal(turned[0].numpy(), COUNT[::-1])
    both = EnsureChannelFirstd("image")(loader("image", [VolumeReader()])({"image": [str(file), str(file)]}))
    assert both["image"].shape == (2, *SHAPE)


@pytest.mark.parametrize("intensity", ["relative", "HU", "display"])
def test_stages_refuse_what_prepare_refuses(saved, intensity):
    """MONAI's own loader would go on to its own readers, which take complex numbers and many frames."""
    file = saved(np.ones(SHAPE, "complex64"))
    with pytest.raises(Exception, match="complex numbers|applying transform") as e:
        Compose(reading(intensity))({"image": str(file)})
    assert "complex numbers" in str(e.value.__cause__ or e.value)


def test_a_file_that_belongs_to_no_reader_is_refused(tmp_path):
    (tmp_path / "x.png").write_bytes(b"")
    with pytest.raises(RuntimeError, match="suitable reader|applying transform"):
        loader("image", [VolumeReader()])({"image": str(tmp_path / "x.png")})
