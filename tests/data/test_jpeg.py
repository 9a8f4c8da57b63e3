"""JPEG streams are looked at before GDCM, which ends the whole process over some damaged ones."""

from pathlib import Path

import pydicom
import pytest
from pydicom import dcmread
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels.decoders import JPEGBaseline8BitDecoder

from clinical_qkt.data.dicom import decode
from clinical_qkt.data.dicom_pixels import _plugins, stored_values
from clinical_qkt.data.formats import ImageRefused
from clinical_qkt.data.jpeg import Frame, frame_of

SHIPPED = Path(pydicom.__file__).parent / "data" / "test_files"
LOSSLESS = SHIPPED / "SC_rgb_jpeg_gdcm.dcm"


@pytest.fixture
def stream():
    return next(generate_frames(dcmread(LOSSLESS).PixelData, number_of_frames=1))


def changed(stream, place, *content):
    return stream[:place] + bytes(content) + stream[place + len(content) :]


def test_a_whole_stream_tells_its_sizes(stream):
    assert frame_of(stream) == Frame(bits=8, rows=100, columns=100, samples=3)
    assert frame_of(stream + b"\0") == frame_of(stream + b"\xff") == frame_of(stream)
    baseline = dcmread(SHIPPED / "SC_rgb_jpeg_dcmtk.dcm").PixelData
    assert frame_of(next(generate_frames(baseline, number_of_frames=1))) == Frame(8, 100, 100, 3)


def test_a_stream_whose_markers_are_damaged_tells_nothing(stream):
    frame, tables, scan = (stream.index(b"\xff" + marker) for marker in (b"\xc3", b"\xc4", b"\xda"))
    damaged = [
        b"",
        stream[:-20],
        stream[1:],
        changed(stream, 17, 10),  # Adobe's conversion of colours
        changed(stream, frame + 1, 0xC9),
        changed(stream, frame + 9, 7),
        changed(stream, frame + 2, 0xFF, 0xFF),
        changed(stream, tables + 1, 0xFE),
        changed(stream, tables + 5, 200),
        changed(stream, scan + 6, 0x30),
        stream[:frame] + stream[frame : frame + 19] + stream[frame:],
    ]
    assert [frame_of(d) for d in damaged] == [None] * len(damaged)


@pytest.mark.parametrize("place", ["colours", "rows", "bits"])
def test_such_a_file_is_refused_and_the_process_lives_on(tmp_path, stream, place):
    pytest.importorskip("gdcm")
    frame = stream.index(b"\xff\xc3")
    at, content = {"colours": (17, [10]), "rows": (frame + 5, [0, 99]), "bits": (frame + 4, [107])}[place]
    header = dcmread(LOSSLESS)
    header.PixelData = encapsulate([changed(stream, at, *content)])
    header.save_as(tmp_path / "x")
    with pytest.raises(ImageRefused, match="truncated, damaged, or"):
        decode(tmp_path / "x")


def test_gdcm_is_no_fallback_for_another_decoder(monkeypatch):
    header = dcmread(SHIPPED / "SC_rgb_jpeg_dcmtk.dcm")
    both = {"gdcm": (print, print), **JPEGBaseline8BitDecoder._available}
    monkeypatch.setattr(JPEGBaseline8BitDecoder, "_available", both)
    assert _plugins(header) and "gdcm" not in _plugins(header)
    assert stored_values(header).shape == (100, 100, 3)
