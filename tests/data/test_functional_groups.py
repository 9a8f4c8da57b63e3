"""Enhanced objects of one frame: what their functional groups say is used as if it stood at the top."""

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import EnhancedCTImageStorage

from clinical_qkt.data.dicom import DicomReader, decode
from clinical_qkt.data.display import header_window
from clinical_qkt.data.formats import ImageRefused
from clinical_qkt.data.functional_groups import PER_FRAME, SHARED
from clinical_qkt.data.headers import number, numbers, spacing, text
from clinical_qkt.prepare.identifiers import inspect
from tests.make_dicom import slice_header, write_slice

RAMP = np.arange(0, 4096, dtype=np.uint16).reshape(32, 128)
RESCALE = {"RescaleSlope": 2, "RescaleIntercept": -1024, "RescaleType": "HU"}
WINDOW = {"WindowCenter": [40, 600], "WindowWidth": [400, 3000], "VOILUTFunction": "LINEAR_EXACT"}
TOP = {"RescaleSlope": None, "RescaleIntercept": None}


def item(**values):
    found = Dataset()
    for keyword, value in values.items():
        setattr(found, keyword, value)
    return found


def group(**macros):
    """A group's sequence: each macro by the attributes of its one item."""
    return Sequence([item(**{name: Sequence([item(**values)]) for name, values in macros.items()})])


def enhanced(shared=None, per_frame=None, **changes):
    header = slice_header(RAMP, **{**TOP, **changes})
    header.SOPClassUID, header.NumberOfFrames = EnhancedCTImageStorage, 1
    for sequence, found in ((SHARED, shared), (PER_FRAME, per_frame)):
        if found is not None:
            setattr(header, sequence, found)
    return header


@pytest.fixture
def saved(tmp_path):
    def save(header):
        header.save_as(tmp_path / "enhanced", enforce_file_format=True)
        return tmp_path / "enhanced"

    return save


@pytest.mark.parametrize("where", ["shared", "per_frame"])
def test_rescale_and_window_are_taken_from_either_group(tmp_path, saved, where):
    groups = group(PixelValueTransformationSequence=RESCALE, FrameVOILUTSequence=WINDOW)
    file = saved(enhanced(**{where: groups}))
    plain = write_slice(tmp_path / "plain", RAMP, **RESCALE, **WINDOW)
    for intensity in ("display", "HU"):
        assert np.array_equal(decode(file, intensity), decode(plain, intensity))
    assert header_window(enhanced(**{where: groups})) == (-160, 240)


def test_spacing_and_place_are_taken_from_the_groups(saved):
    shared = group(
        PixelMeasuresSequence={"PixelSpacing": [0.5, 2.0]},
        PlaneOrientationSequence={"ImageOrientationPatient": [1, 0, 0, 0, 1, 0]},
        CTAcquisitionDetailsSequence={"GantryDetectorTilt": 18.5},
    )
    header = enhanced(shared, group(PlanePositionSequence={"ImagePositionPatient": [1, 2, 3]}))
    assert spacing(header) == (2.0, 0.5) and numbers(header, "ImagePositionPatient") == [1, 2, 3]
    assert numbers(header, "ImageOrientationPatient") == [1, 0, 0, 0, 1, 0]
    assert number(header, "GantryDetectorTilt") == 18.5
    reader = DicomReader()
    _, meta = reader.get_data(reader.read(saved(header)))
    assert np.diag(meta["affine"]).tolist() == [2.0, 0.5, 1, 1]


def test_the_frames_own_group_comes_first_and_the_top_last():
    def macro(intercept):
        return group(PixelValueTransformationSequence={**RESCALE, "RescaleIntercept": intercept})

    both = enhanced(macro(-1000), macro(-2000), RescaleIntercept=-3000)
    assert number(both, "RescaleIntercept") == -2000
    empty = enhanced(macro(-1000), macro(""), RescaleIntercept=-3000)
    assert number(empty, "RescaleIntercept") == -1000
    assert number(enhanced(RescaleIntercept=-3000), "RescaleIntercept") == -3000
    assert text(enhanced(macro(1)), "RescaleType") == "HU"


def test_what_a_converted_object_keeps_unassigned_is_found_too():
    shared = group(UnassignedSharedConvertedAttributesSequence={"GantryDetectorTilt": 5})
    assert number(enhanced(shared), "GantryDetectorTilt") == 5
    assert number(enhanced(shared), "PatientWeight") is None


def test_half_a_rescale_or_a_damaged_window_in_a_group_is_refused(saved):
    for macros, reason in (
        ({"PixelValueTransformationSequence": {"RescaleSlope": 1}}, "half a rescale"),
        ({"PixelValueTransformationSequence": {**RESCALE, "RescaleSlope": 0}}, "slope is 0"),
        ({"FrameVOILUTSequence": {**WINDOW, "WindowWidth": 1}}, "not as many window centres"),
    ):
        with pytest.raises(ImageRefused, match=reason):
            decode(saved(enhanced(group(**macros))))


def test_groups_of_more_frames_than_one_are_damaged(saved):
    two = Sequence([Dataset(), Dataset()])
    with pytest.raises(ImageRefused, match="functional groups are not those of one frame"):
        decode(saved(enhanced(per_frame=two)))


def test_groups_change_nothing_of_what_identifies_a_patient():
    header = enhanced(group(PixelValueTransformationSequence=RESCALE))
    header.PatientID = "4711"
    before = inspect(header).identifying
    number(header, "RescaleSlope")
    assert inspect(header).identifying == before == {"PatientID": 1, "SOPInstanceUID": 1}
    assert "RescaleSlope" not in header
