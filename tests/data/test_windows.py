"""Rescale, windows and tables of a header: used as they are meant, or refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.dataelem import RawDataElement
from pydicom.sequence import Sequence
from pydicom.tag import Tag

from clinical_qkt.data.dicom import decode
from clinical_qkt.data.dicom_pixels import stored_values
from clinical_qkt.data.display import header_window, measured_range, shown
from clinical_qkt.data.formats import ImageRefused
from clinical_qkt.data.windows import Window, modality, window
from tests.make_dicom import slice_header, write_slice

RAMP = np.arange(0, 4096, dtype=np.uint16).reshape(32, 128)
NUMBERS = st.floats(-1e4, 1e4).map(lambda v: round(v, 3))


@pytest.fixture
def ramp(tmp_path):
    return lambda **changes: write_slice(tmp_path / "slice", RAMP, **changes)


@given(NUMBERS.filter(bool), NUMBERS)
@settings(max_examples=50, deadline=None)
def test_hounsfield_units_are_slope_times_stored_plus_intercept(slope, intercept):
    header = slice_header(RAMP, RescaleSlope=slope, RescaleIntercept=intercept)
    expected = RAMP.astype(float) * slope + intercept
    assert np.allclose(shown(header, stored_values(header), "HU").T, expected, rtol=1e-6, atol=1e-2)
    assert measured_range(header, RAMP) == pytest.approx((expected.min(), expected.max()))


@given(st.sampled_from(["LINEAR", "LINEAR_EXACT", "SIGMOID", ""]), NUMBERS, st.floats(1, 5e3))
@settings(max_examples=60, deadline=None)
def test_a_window_is_the_standards_formula(function, centre, width):
    centre, width = round(centre, 3), round(width, 3)
    header = slice_header(RAMP, RescaleIntercept=-1024, WindowCenter=centre, WindowWidth=width)
    header.VOILUTFunction = function
    hu = RAMP - 1024.0
    if function == "SIGMOID":
        width = max(width, 100.0)
        header.WindowWidth = width
        expected = 255 / (1 + np.exp(-4 * (hu - centre) / width))
    else:
        c, w = (centre, width) if function == "LINEAR_EXACT" else (centre - 0.5, width - 1)
        expected = np.where(
            hu <= c - w / 2, 0, np.where(hu > c + w / 2, 255, ((hu - c) / (w or 1) + 0.5) * 255)
        )
    assert np.allclose(shown(header, RAMP, "display").T, expected, atol=1e-2)


@pytest.mark.parametrize(
    "changes",
    [
        {"RescaleSlope": "", "RescaleIntercept": ""},
        {"RescaleSlope": None, "RescaleIntercept": None},
        {"VOILUTFunction": ""},
        {"WindowCenter": "", "WindowWidth": ""},
        {"PixelPaddingValue": None, "PresentationLUTShape": ""},
        {"RescaleType": "", "ModalityLUTSequence": Sequence(), "VOILUTSequence": Sequence()},
    ],
)
def test_what_is_empty_counts_as_absent(ramp, changes):
    plain = decode(ramp(RescaleSlope=1, RescaleIntercept=0))
    changes.pop("PixelPaddingValue", 0)
    assert np.array_equal(decode(ramp(**changes)), plain)


def test_an_empty_function_is_linear(ramp):
    window = {"WindowCenter": 1000, "WindowWidth": 2000}
    assert np.array_equal(decode(ramp(**window, VOILUTFunction="")), decode(ramp(**window)))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"RescaleSlope": 0}, "rescale slope is 0"),
        ({"RescaleSlope": "0.0"}, "rescale slope is 0"),
        ({"RescaleIntercept": ""}, "half a rescale: its slope without its intercept"),
        ({"RescaleIntercept": None}, "half a rescale: its slope without its intercept"),
        ({"RescaleSlope": ""}, "half a rescale: its intercept without its slope"),
        ({"RescaleSlope": [1, 2]}, "damaged: RescaleSlope in its header is more than one number"),
        ({"WindowCenter": 40}, "not as many window centres"),
        ({"WindowWidth": 40}, "not as many window centres"),
        ({"WindowCenter": [40, 50], "WindowWidth": 400}, "not as many window centres"),
        ({"WindowCenter": 40, "WindowWidth": 0}, "not wider than 0"),
        ({"WindowCenter": 40, "WindowWidth": -400}, "not wider than 0"),
        ({"WindowCenter": 40, "WindowWidth": 0, "VOILUTFunction": "SIGMOID"}, "not wider than 0"),
        ({"WindowCenter": 40, "WindowWidth": 0.5}, "narrower than 1"),
        ({"WindowCenter": 40, "WindowWidth": 9, "VOILUTFunction": "LOG"}, "VOI LUT function"),
        ({"PixelPresentation": "MIXED"}, "supplemental palette"),
    ],
)
def test_what_makes_no_sense_is_refused(ramp, changes, reason):
    with pytest.raises(ImageRefused, match=reason):
        decode(ramp(**changes))


@pytest.mark.parametrize("keyword", ["RescaleSlope", "RescaleIntercept", "WindowCenter", "WindowWidth"])
@pytest.mark.parametrize("written", [b"DOE^JANE", b"1,5 ", b"NaN ", b"inf ", b"1\\\\2"])
def test_a_number_that_is_none_is_refused_and_not_repeated(keyword, written):
    header = slice_header(RAMP, WindowCenter=40, WindowWidth=400)
    tag = Tag(keyword)
    header[tag] = RawDataElement(tag, "DS", len(written), written, 0, False, True)
    with pytest.raises(ImageRefused, match=f"damaged: {keyword} in its header is (no|more)") as e:
        shown(header, RAMP, "display")
    assert "DOE" not in str(e.value)


def test_a_window_narrower_than_1_may_be_exact(ramp):
    found = decode(ramp(WindowCenter=40, WindowWidth=0.5, VOILUTFunction="LINEAR_EXACT")).T.ravel()
    assert found[39] == 0 and found[41] == 255 and found[40] == pytest.approx(127.5)


def test_a_headers_window_is_told_in_the_unit_of_the_rescale():
    told = {"WindowCenter": [40, 600], "WindowWidth": [400, 3000]}
    assert header_window(slice_header(RAMP, RescaleIntercept=-1024, **told)) == (-160, 239)
    assert header_window(slice_header(RAMP, VOILUTFunction="LINEAR_EXACT", **told)) == (-160, 240)
    none = [{}, {**told, "VOILUTFunction": "SIGMOID"}, {"WindowCenter": 40, "WindowWidth": [1, 2]}]
    none += [{"WindowCenter": 40, "WindowWidth": 1}, {**told, "VOILUTSequence": Sequence([lut(0, [0, 1])])}]
    assert [header_window(slice_header(RAMP, **changes)) for changes in none] == [None] * 5
    assert Window(40, 400, "LINEAR").ends == (-160, 239) and window(slice_header(RAMP)) is None


def lut(first, entries, depth=16, count=None, vr="US"):
    """A lookup table of entries from a first value on."""
    item = Dataset()
    item.add_new("LUTDescriptor", vr, [len(entries) if count is None else count, first, depth])
    item.add_new("LUTData", "US", list(entries))
    return item


def test_a_voi_table_of_8_bits_with_many_entries_does_not_wrap(ramp):
    entries = [min(255, i // 16) for i in range(4096)]
    found = decode(ramp(VOILUTSequence=Sequence([lut(0, entries, 8)]))).T.ravel()
    assert np.array_equal(found, entries)


@pytest.mark.parametrize("vr", ["US", "SS"])
def test_the_first_value_of_a_table_is_taken_by_its_bits(ramp, vr):
    first = -1024 if vr == "SS" else 65536 - 1024
    table = lut(first, [i * 15 for i in range(4096)], vr=vr)
    found = decode(ramp(RescaleIntercept=-1024, VOILUTSequence=Sequence([table]))).T.ravel()
    assert np.allclose(found, np.arange(4096) * 15 / 65535 * 255, atol=1e-3)


def test_a_modality_table_comes_before_the_window(ramp):
    entries = [4095 - i for i in range(4096)]
    changes = {"RescaleSlope": None, "RescaleIntercept": None, "WindowCenter": 2048, "WindowWidth": 4096}
    found = decode(ramp(ModalityLUTSequence=Sequence([lut(0, entries, 12)]), **changes)).T.ravel()
    assert np.allclose(found, np.arange(4095, -1, -1) / 4095 * 255, atol=0.1)


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (lut(0, [0, 1], count=3), "does not fit its descriptor"),
        (lut(0, [0, 300], depth=8), "does not fit its descriptor"),
        (lut(0, [0, 1], depth=32), "does not fit its descriptor"),
        (lut(50000, [0, 1]), "does not fit its descriptor"),
        (Dataset(), "does not fit its descriptor"),
    ],
)
@pytest.mark.parametrize("sequence", ["VOILUTSequence", "ModalityLUTSequence"])
def test_a_damaged_table_is_refused(tmp_path, sequence, item, reason):
    twelve = {"BitsStored": 12, "HighBit": 11, sequence: Sequence([item])}
    with pytest.raises(ImageRefused, match=reason):
        decode(write_slice(tmp_path / "x", RAMP, **twelve))


def test_a_table_beside_a_rescale_that_changes_values_is_refused():
    header = slice_header(RAMP, ModalityLUTSequence=Sequence([lut(0, range(4096))]), RescaleIntercept=-1024)
    with pytest.raises(ImageRefused, match="a rescale and a modality table"):
        modality(header)
    header.RescaleIntercept = 0
    assert np.array_equal(modality(header)(RAMP), RAMP)


def test_a_modality_table_to_other_units_has_no_hounsfield_units(ramp):
    item = lut(0, range(4096))
    item.ModalityLUTType = "OD"
    changes = {"RescaleSlope": None, "RescaleIntercept": None, "ModalityLUTSequence": Sequence([item])}
    with pytest.raises(ImageRefused, match="has no Hounsfield units"):
        decode(ramp(**changes), "HU")
    item.ModalityLUTType = "HU"
    assert decode(ramp(**changes), "HU").max() == 4095


@pytest.mark.parametrize(("cell", "depth", "value"), [("B", 8, 200), ("H", 8, 200), ("H", 16, 200 << 8)])
def test_a_palette_is_as_bright_as_its_bits_say(tmp_path, cell, depth, value):
    table = np.array([0, value], {"B": "u1", "H": "<u2"}[cell]).tobytes()
    changes = {"PhotometricInterpretation": "PALETTE COLOR"}
    for colour in ("Red", "Green", "Blue"):
        changes[f"{colour}PaletteColorLookupTableDescriptor"] = [2, 0, depth]
        changes[f"{colour}PaletteColorLookupTableData"] = table
    file = write_slice(tmp_path / "x", np.eye(4, dtype=np.uint8), **changes)
    assert np.allclose(decode(file)[..., 1], np.eye(4) * 200, atol=1)


def test_colours_with_a_sign_are_damaged(tmp_path):
    header = slice_header(np.zeros((4, 12), np.int8), Columns=4, SamplesPerPixel=3, PlanarConfiguration=0)
    header.PhotometricInterpretation = "RGB"
    header.save_as(tmp_path / "x", enforce_file_format=True)
    with pytest.raises(ImageRefused, match="colours have a sign"):
        decode(tmp_path / "x")
