"""Samples taken out of their bits, against plain numpy."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian, RLELossless

from clinical_qkt.data.dicom import decode
from clinical_qkt.data.dicom_pixels import bits_of, stored_values
from clinical_qkt.data.display import padding
from clinical_qkt.data.formats import ImageRefused
from tests.make_dicom import slice_header, write_slice

SHIPPED = Path(pydicom.__file__).parent / "data" / "test_files"


@st.composite
def layouts(draw):
    """Bits allocated, bits stored, high bit, sign."""
    allocated = draw(st.sampled_from([8, 16, 32]))
    stored = draw(st.integers(1, allocated))
    return allocated, stored, draw(st.integers(stored - 1, allocated - 1)), draw(st.booleans())


def laid_out(values, allocated, stored, high, junk):
    """Samples in their cells, whose other bits hold something else, such as overlays."""
    mask = (1 << stored) - 1
    shift = high + 1 - stored
    cells = [((int(v) & mask) << shift) | (junk & ~(mask << shift) & ((1 << allocated) - 1)) for v in values]
    return np.array(cells, f"<u{allocated // 8}").reshape(2, -1)


@given(layouts(), st.data())
@settings(max_examples=150, deadline=None)
def test_samples_come_out_of_any_bits_with_their_sign(layout, data):
    allocated, stored, high, signed = layout
    low, top = (-(1 << (stored - 1)), (1 << (stored - 1)) - 1) if signed else (0, (1 << stored) - 1)
    values = data.draw(st.lists(st.integers(low, top), min_size=6, max_size=6))
    junk = data.draw(st.integers(0, (1 << allocated) - 1))
    header = slice_header(
        laid_out(values, allocated, stored, high, junk),
        BitsStored=stored,
        HighBit=high,
        PixelRepresentation=int(signed),
    )
    assert stored_values(header).ravel().tolist() == values


@given(layouts(), st.data())
@settings(max_examples=100, deadline=None)
def test_padding_is_found_by_its_bits_whatever_its_sign(layout, data):
    allocated, stored, _, signed = layout
    if allocated == 32:
        allocated, stored = 16, min(stored, 16)
    low, top = (-(1 << (stored - 1)), (1 << (stored - 1)) - 1) if signed else (0, (1 << stored) - 1)
    values = np.array(data.draw(st.lists(st.integers(low, top), min_size=6, max_size=6)))
    one, other = sorted(data.draw(st.tuples(st.integers(low, top), st.integers(low, top))))
    header = slice_header(
        laid_out(values, allocated, stored, stored - 1, 0),
        BitsStored=stored,
        HighBit=stored - 1,
        PixelRepresentation=int(signed),
    )
    for keyword, end in (("PixelPaddingValue", one), ("PixelPaddingRangeLimit", other)):
        vr = data.draw(st.sampled_from(["US", "SS"]))
        bits = int(end) % (1 << 16)
        header.add_new(keyword, vr, bits - (1 << 16) if vr == "SS" and bits >= 1 << 15 else bits)
    expected = (values >= one) & (values <= other)
    assert padding(header, values.reshape(2, -1)).ravel().tolist() == expected.tolist()


def test_padding_that_no_pixel_can_have_hides_none():
    byte = np.arange(256, dtype=np.uint8).reshape(16, 16)
    for number in (300, 65535):
        assert not padding(slice_header(byte, PixelPaddingValue=number), byte).any()
    twelve = slice_header(
        np.full((2, 2), 4095, np.uint16), BitsStored=12, HighBit=11, PixelPaddingValue=65535
    )
    assert not padding(twelve, stored_values(twelve)).any()


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless])
def test_the_high_bit_counts_in_every_syntax_that_keeps_whole_cells(tmp_path, syntax):
    values = (np.arange(64).reshape(8, 8) * 50).astype(np.uint16)
    header = slice_header(values << 4, BitsStored=12, HighBit=15)
    if syntax == RLELossless:
        header.compress(RLELossless)
    elif syntax == ExplicitVRBigEndian:
        header.PixelData = (values << 4).astype(">u2").tobytes()
    header.file_meta.TransferSyntaxUID = syntax
    little = syntax != ExplicitVRBigEndian
    header.save_as(
        tmp_path / "x",
        enforce_file_format=True,
        implicit_vr=None if syntax == RLELossless else syntax.is_implicit_VR,
        little_endian=None if syntax == RLELossless else little,
    )
    plain = write_slice(tmp_path / "plain", values, BitsStored=12, HighBit=11)
    assert np.array_equal(decode(tmp_path / "x", "HU"), decode(plain, "HU"))
    assert np.array_equal(decode(plain, "HU"), values.T)


def test_a_high_bit_elsewhere_in_compressed_pixels_is_refused(tmp_path):
    header = dcmread(SHIPPED / "MR_small_jp2klossless.dcm")
    header.BitsStored = 12
    header.save_as(tmp_path / "x")
    with pytest.raises(ImageRefused, match="high bit .* it is compressed"):
        decode(tmp_path / "x")


def test_compressed_pixels_beyond_their_bits_are_refused(tmp_path):
    header = dcmread(SHIPPED / "MR_small_RLE.dcm")
    header.BitsStored, header.HighBit, header.PixelRepresentation = 16, 15, 0
    assert stored_values(header).max() <= 65535
    header = dcmread(SHIPPED / "MR_small_jp2klossless.dcm")
    header.BitsStored, header.HighBit = 8, 7
    header.save_as(tmp_path / "x")
    with pytest.raises(ImageRefused, match="need more bits than"):
        decode(tmp_path / "x")


def test_a_missing_high_bit_is_the_usual_one():
    assert bits_of(slice_header(np.zeros((2, 2), np.uint16), BitsStored=12, HighBit=None)).high == 11


@pytest.mark.parametrize(
    "changes",
    [
        {"BitsStored": 17},
        {"BitsStored": 12, "HighBit": 10},
        {"HighBit": 16},
        {"BitsStored": 0, "HighBit": 0},
        {"BitsAllocated": 8},
        {"BitsStored": None},
        {"BitsAllocated": None},
        {"PixelRepresentation": None},
        {"PixelRepresentation": 2},
    ],
)
def test_impossible_bits_are_damaged(tmp_path, changes):
    with pytest.raises(ImageRefused, match="^damaged: its bits allocated, bits stored"):
        decode(write_slice(tmp_path / "x", np.zeros((4, 4), np.uint16), **changes))
