"""Files that end too early, wherever: told as truncated, and what stands before the end is found."""

import zlib
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom import Dataset, dcmread
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from clinical_qkt.data import dicom_files
from clinical_qkt.data.dicom import decode
from clinical_qkt.data.dicom_files import CutShort, read_header
from clinical_qkt.data.formats import ImageRefused
from clinical_qkt.prepare.identifiers import inspect
from tests.make_dicom import slice_header

SHIPPED = Path(pydicom.__file__).parent / "data" / "test_files"
SYNTAXES = [
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
    RLELossless,
]
FIRST = {"SOPInstanceUID", "AccessionNumber", "ReferringPhysicianName"}
"""Checked attributes before the sequence, all of whose values ``whole`` writes."""
AFTER = {"PatientName", "PatientID"}


def whole(path, syntax, *, undefined=True):
    """A file that names a patient at the top, and before it two studies in a sequence with inner ones."""
    noise = np.random.default_rng(0).integers(0, 4000, (64, 64), dtype=np.uint16)
    header = slice_header(noise)
    header.AccessionNumber, header.ReferringPhysicianName = "A-1", "Doe^Ruth"
    header.PatientName, header.PatientID = "Doe^Jane", "4711"
    outer = []
    for number in ("1", "2"):
        inner, item = Dataset(), Dataset()
        inner.ReferencedSOPInstanceUID = f"1.2.3.{number}"
        item.StudyInstanceUID = f"1.2.{number}"
        item.ReferencedSeriesSequence = Sequence([inner])
        item["ReferencedSeriesSequence"].is_undefined_length = undefined
        inner.is_undefined_length_sequence_item = item.is_undefined_length_sequence_item = undefined
        outer.append(item)
    header.ReferencedStudySequence = Sequence(outer)
    header["ReferencedStudySequence"].is_undefined_length = undefined
    if syntax == RLELossless:
        header.compress(RLELossless)
    elif syntax == ExplicitVRBigEndian:
        header.PixelData = noise.astype(">u2").tobytes()
    header.file_meta.TransferSyntaxUID = syntax
    # The data set still knows the encoding that it was made for, and takes another one by name only.
    encoding = {} if syntax == RLELossless else {
        "implicit_vr": syntax.is_implicit_VR, "little_endian": syntax.is_little_endian
    }  # fmt: skip
    header.save_as(path, enforce_file_format=True, **encoding)
    return path.read_bytes()


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("undefined", [True, False])
def test_cut_anywhere_it_is_truncated_and_what_was_read_is_counted(tmp_path, syntax, undefined):
    content = whole(tmp_path / "whole", syntax, undefined=undefined)
    everything = inspect(read_header(tmp_path / "whole")).identifying
    assert set(everything) > FIRST | AFTER and everything["StudyInstanceUID"] == 2
    decode(tmp_path / "whole")
    start = content.index(b"DICM") + 4
    places = [*range(start, start + 1200, 37), *np.linspace(start + 1200, len(content) - 9, 25).astype(int)]
    counted = []
    for place in places:
        (tmp_path / "cut").write_bytes(content[: int(place)])
        with pytest.raises(ImageRefused, match="truncated"):
            decode(tmp_path / "cut")
        found = inspect(read_header(tmp_path / "cut")).identifying
        assert all(found[k] <= everything[k] for k in found), place
        counted.append(sum(found.values()))
    assert counted[-1] == sum(everything.values())
    assert counted[0] == 0 and (counted == sorted(counted) or syntax == DeflatedExplicitVRLittleEndian)


@pytest.mark.parametrize("undefined", [True, False])
def test_a_cut_within_a_sequence_keeps_what_its_items_hold(tmp_path, undefined):
    content = whole(tmp_path / "whole", ExplicitVRLittleEndian, undefined=undefined)
    (tmp_path / "cut").write_bytes(content[: content.index(b"1.2.3.2") + 7])
    header = read_header(tmp_path / "cut")
    assert isinstance(header, CutShort) and header.at_end
    found = inspect(header).identifying
    assert found["StudyInstanceUID"] == 1 and found["ReferencedSOPInstanceUID"] == 2
    assert set(found) >= FIRST and "PatientID" not in found


@pytest.mark.parametrize("name", ["MR_small_RLE.dcm", "SC_rgb_jpeg.dcm", "693_J2KI.dcm", "image_dfl.dcm"])
def test_real_compressed_files_that_are_cut_are_truncated(tmp_path, name):
    content = (SHIPPED / name).read_bytes()
    every = inspect(read_header(SHIPPED / name)).identifying
    for share in (0.7, 0.9, 0.95):
        (tmp_path / "cut").write_bytes(content[: int(len(content) * share)])
        with pytest.raises(ImageRefused, match="^truncated: its file is not as long as its header says"):
            decode(tmp_path / "cut")
        assert inspect(read_header(tmp_path / "cut")).identifying == every


def test_nothing_of_a_whole_file_is_taken_for_cut():
    files = [p for p in SHIPPED.glob("*.dcm") if "truncated" not in p.name]
    headers = []
    for path in files:
        try:
            headers.append(read_header(path))
        except ImageRefused:  # no DICOM prefix
            continue
    assert len(headers) >= 60 and not any(isinstance(h, CutShort) for h in headers)


def test_a_missing_byte_of_padding_is_no_cut(tmp_path):
    header = slice_header(np.ones((3, 3), np.uint8), BitsAllocated=8)
    header.save_as(tmp_path / "odd", enforce_file_format=True)
    (tmp_path / "short").write_bytes((tmp_path / "odd").read_bytes()[:-1])
    assert np.array_equal(decode(tmp_path / "short"), decode(tmp_path / "odd"))
    (tmp_path / "short").write_bytes((tmp_path / "odd").read_bytes()[:-2])
    with pytest.raises(ImageRefused, match="truncated"):
        decode(tmp_path / "short")


def test_padding_after_the_data_set_may_be_cut(tmp_path):
    content = (SHIPPED / "MR_small_RLE.dcm").read_bytes()
    (tmp_path / "short").write_bytes(content[:-22])
    assert np.array_equal(decode(tmp_path / "short"), decode(SHIPPED / "MR_small_RLE.dcm"))


def test_large_pixels_that_stay_in_the_file_are_looked_at_too(tmp_path, monkeypatch):
    monkeypatch.setattr(dicom_files, "DEFER", 100)
    content = whole(tmp_path / "whole", ExplicitVRLittleEndian)
    assert decode(tmp_path / "whole").shape == (64, 64)
    (tmp_path / "cut").write_bytes(content[:-10])
    with pytest.raises(ImageRefused, match="truncated"):
        decode(tmp_path / "cut")
    whole(tmp_path / "deflated", DeflatedExplicitVRLittleEndian)
    assert np.array_equal(decode(tmp_path / "deflated"), decode(tmp_path / "whole"))


def test_damaged_is_told_from_truncated(tmp_path):
    content = bytearray(whole(tmp_path / "whole", DeflatedExplicitVRLittleEndian))
    start = 144 + dcmread(tmp_path / "whole").file_meta.FileMetaInformationGroupLength
    content[start : start + 200] = b"\xff" * 200
    (tmp_path / "bad").write_bytes(content)
    with pytest.raises(zlib.error):
        dcmread(tmp_path / "bad")
    with pytest.raises(ImageRefused, match="^damaged: its DICOM header cannot be read to its end"):
        decode(tmp_path / "bad")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"\0" * 100, "truncated, or no DICOM file"),
        (b"\0" * 200, "has no DICOM file header"),
        (b"\0" * 128 + b"DICM", "truncated"),
    ],
)
def test_files_without_a_header_are_told_apart(tmp_path, content, reason):
    (tmp_path / "x.dcm").write_bytes(content)
    with pytest.raises(ImageRefused, match=reason):
        decode(tmp_path / "x.dcm")


def test_an_image_without_pixels_may_be_truncated_and_a_report_is_not(tmp_path):
    header = slice_header(np.zeros((4, 4), np.uint16), PixelData=None)
    header.save_as(tmp_path / "x", enforce_file_format=True)
    with pytest.raises(ImageRefused, match=r"has no pixel data \(CT Image Storage\).*: truncated, or saved"):
        decode(tmp_path / "x")
    with pytest.raises(ImageRefused, match=r"has no pixel data \(Basic Text SR Storage\)$"):
        decode(SHIPPED / "reportsi.dcm")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"Rows": 65535, "Columns": 65535}, "is too large: it announces more than 134,217,728 pixels"),
        (
            {"Rows": 8192, "Columns": 8192, "SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"},
            "is too large",
        ),
        ({"Rows": 8192, "Columns": 8192, "PhotometricInterpretation": "PALETTE COLOR"}, "is too large"),
        ({"Rows": 4096, "Columns": 4096}, "truncated or damaged: its pixel data are not as long"),
        ({"Rows": 0}, "rows or columns"),
        ({"NumberOfFrames": 12}, "holds 12 frames"),
        ({"NumberOfFrames": -1}, "damaged: its number of frames"),
        ({"NumberOfFrames": "9" * 12}, "damaged: its number of frames"),
    ],
)
def test_announced_sizes_are_told_from_damaged_ones(tmp_path, changes, reason):
    header = slice_header(np.zeros((4, 4), np.uint16), **changes)
    header.save_as(tmp_path / "x", enforce_file_format=True)
    with pytest.raises(ImageRefused, match=reason):
        decode(tmp_path / "x")


def test_a_number_of_frames_that_is_text_is_damaged(tmp_path):
    header = slice_header(np.zeros((4, 4), np.uint16), NumberOfFrames=1)
    header.save_as(tmp_path / "x", enforce_file_format=True)
    content = (tmp_path / "x").read_bytes()
    place = content.index(b"\x28\x00\x08\x00IS") + 8
    (tmp_path / "x").write_bytes(content[:place] + b"ab" + content[place + 2 :])
    with pytest.raises(ImageRefused, match="^damaged: NumberOfFrames in its header is no number"):
        decode(tmp_path / "x")
