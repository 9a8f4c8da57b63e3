import pathlib

import numpy as np
import pydicom
import pytest
from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged, Spacingd

from clinical_qkt.data.dicom import DicomReader, decode
from clinical_qkt.data.formats import ImageRefused, kind_of
from clinical_qkt.data.images import raw_image
from tests.make_dicom import write_slice

SHIPPED = pathlib.Path(pydicom.__file__).parent / "data" / "test_files"


RAMP = np.arange(0, 4096, dtype=np.uint16).reshape(32, 128)


@pytest.fixture
def ramp(tmp_path):
    return lambda **changes: write_slice(tmp_path / "slice", RAMP, **changes)


def test_axes_are_width_and_height(ramp):
    assert decode(ramp()).shape == (128, 32) and raw_image(ramp()).shape == (1, 128, 32)


def test_hounsfield_units_are_the_values_after_rescale(ramp):
    found = decode(ramp(RescaleSlope=2, RescaleIntercept=-1024), "HU")
    assert np.array_equal(found, RAMP.T.astype(np.float32) * 2 - 1024)


def test_padding_is_air_and_black(ramp):
    file = ramp(RescaleIntercept=-1024, PixelPaddingValue=0, PixelPaddingRangeLimit=9)
    assert set(decode(file, "HU").T.flat[:10]) == {-1000.0}
    inverted = decode(ramp(PhotometricInterpretation="MONOCHROME1", PixelPaddingValue=0))
    assert inverted.T.flat[0] == 0 and inverted.T.flat[1] == 255


def test_the_first_window_is_shown(ramp):
    # PS3.3 C.11.2.1.2.1: 100 wide around 1040 HU ends at 990 and 1089.
    found = decode(ramp(RescaleIntercept=-1024, WindowCenter=[1040, 0], WindowWidth=[100, 1])).T.ravel()
    hu = RAMP.ravel() - 1024.0
    assert (found[hu <= 990] == 0).all() and (found[hu > 1089] == 255).all()
    assert np.allclose(found, np.clip(((hu - 1039.5) / 99 + 0.5) * 255, 0, 255), atol=1e-3)


def test_a_falling_rescale_shows_the_same_window(ramp):
    found = decode(ramp(RescaleSlope=-1, RescaleIntercept=0, WindowCenter=-2000, WindowWidth=1000)).T.ravel()
    assert found[0] == 255 and found[-1] == 0 and (np.diff(found) <= 0).all()


def test_without_a_window_the_slices_own_range_is_shown_and_of_8_bits_all(tmp_path, ramp):
    shown = decode(ramp())
    assert (shown.min(), shown.max()) == (0, 255)
    byte = write_slice(tmp_path / "byte", np.full((4, 4), 51, np.uint8))
    assert (decode(byte) == 51).all()


def test_high_means_bright_whatever_the_photometric_interpretation(ramp):
    plain = decode(ramp())
    assert np.allclose(decode(ramp(PhotometricInterpretation="MONOCHROME1")), 255 - plain)
    both = ramp(PhotometricInterpretation="MONOCHROME1", PresentationLUTShape="INVERSE")
    assert np.allclose(decode(both), 255 - plain)


def test_units_other_than_hounsfields_are_refused(ramp):
    for changes in ({"Modality": "MR"}, {"RescaleType": "OD"}, {"RescaleSlope": None}):
        with pytest.raises(ImageRefused, match="has no Hounsfield units"):
            decode(ramp(**changes), "HU")
    assert decode(ramp(Modality="PT", RescaleType="HU"), "HU").max() == 4095


@pytest.mark.parametrize("intensity", ["display", "HU"])
def test_monai_reads_it_with_its_spacing_and_nothing_else_of_the_header(ramp, intensity):
    file = ramp(PixelSpacing=[0.5, 2.0], PatientName="Doe^Jane", PatientID="4711")
    read = Compose(
        [LoadImaged("image", reader=DicomReader(intensity), image_only=True), EnsureChannelFirstd("image")]
    )
    image = read({"image": str(file)})["image"]
    assert image.shape == (1, 128, 32) and image.pixdim.tolist() == [2.0, 0.5]
    assert "Doe" not in str(image.meta) and "4711" not in str(image.meta)
    assert Spacingd("image", pixdim=(1, 1))({"image": image})["image"].shape == (1, 255, 16)


def test_colour_comes_out_as_rgb_with_channels_first():
    file = SHIPPED / "examples_palette.dcm"
    read = Compose([LoadImaged("image", reader=DicomReader(), image_only=True), EnsureChannelFirstd("image")])
    assert read({"image": str(file)})["image"].shape == raw_image(file).shape == (3, 800, 350)
    with pytest.raises(ImageRefused, match="colour"):
        decode(file, "HU")


def test_the_same_picture_comes_out_of_every_syntax():
    first, *others = (
        decode(SHIPPED / f"MR_small{s}.dcm")
        for s in ("", "_RLE", "_bigendian", "_expb", "_implicit", "_jp2klossless", "_padded")
    )
    assert all(np.array_equal(first, other) for other in others)


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ("no_meta.dcm", "no DICOM file header"),
        ("rtplan.dcm", r"no pixel data \(RT Plan Storage\)"),
        ("DICOMDIR-empty.dcm", "no pixel data"),
        ("rtdose.dcm", "a map that was made from images"),
        ("SC_rgb_rle_2frame.dcm", "holds 2 frames"),
        ("MR_truncated.dcm", "truncated: its file is not as long as its header says"),
        ("rtplan_truncated.dcm", "truncated: its file is not as long as its header says"),
        ("JPGExtended.dcm", r"JPEG Extended \(Process 2 and 4\) with more than 8 bits"),
    ],
)
def test_what_is_no_image_is_refused_with_the_reason(file, reason):
    with pytest.raises(ImageRefused, match=reason):
        decode(next(SHIPPED.parent.rglob(file)))


def test_a_missing_codec_is_named_with_its_extra(monkeypatch):
    from pydicom.pixels.decoders import JPEGLSLosslessDecoder

    monkeypatch.setattr(JPEGLSLosslessDecoder, "_available", {})
    with pytest.raises(ImageRefused, match=r"JPEG-LS Lossless Image Compression: pip install .*\[codecs\]"):
        decode(SHIPPED / "MR_small_jpeg_ls_lossless.dcm")


def test_header_values_are_never_repeated(ramp):
    with pytest.raises(ImageRefused) as e:
        decode(ramp(SOPClassUID="1.2.3.4711", PixelData=None))
    assert "4711" not in str(e.value)
    with pytest.raises(ImageRefused) as e:
        decode(ramp(PhotometricInterpretation="DOE JANE"))
    assert "DOE" not in str(e.value)


def test_a_file_is_known_by_its_suffix_or_its_content(tmp_path, ramp):
    assert kind_of(ramp()) == kind_of(tmp_path / "absent.DCM") == "dicom"
    assert kind_of(tmp_path / "a.nii.gz") == "nifti" and kind_of(tmp_path / "a.JPG") == "picture"
    (tmp_path / "README").write_text("x" * 200)
    assert kind_of(tmp_path / "README") is None and kind_of(tmp_path / "absent") is None
