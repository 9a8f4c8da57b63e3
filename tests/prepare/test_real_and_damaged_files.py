"""``prepare`` on real, damaged, random and very many files: told, never a traceback."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clinical_qkt.data.formats import ImageRefused
from clinical_qkt.data.volumes import read_volume
from tests.conftest import ROOT, run
from tests.make_dicom import picture_header

from .conftest import SHIPPED, entries, files, pictures, prepared, summary

REAL = Path(os.environ.get("CLINICAL_QKT_DATA", ROOT.parent / "shared" / "data"))


def test_all_files_that_pydicom_ships_are_decoded_or_refused(tmp_path):
    shutil.copytree(SHIPPED, tmp_path / "shipped")
    out = prepared(tmp_path / "shipped")
    told = [row for row in files(out).values() if row["file"].endswith(".dcm")]
    assert len(told) >= 78 and all(row["reason"] or row["became"] == "used" for row in told)
    assert sum(row["became"] != "refused" for row in told) >= 38
    assert files(out)["shipped/rtplan.dcm"]["reason"] == "has no pixel data (RT Plan Storage)"
    assert files(out)["shipped/MR_truncated.dcm"]["became"] == "refused"


@pytest.mark.skipif(not (REAL / "ct_head_dicom").is_dir(), reason="ct_head_dicom is not there")
def test_a_tilted_unevenly_spaced_series_is_told(tmp_path):
    out = tmp_path / "site"
    assert run("prepare", str(REAL / "ct_head_dicom"), "--intensity", "HU", "--out", str(out)) == 0
    (series,) = summary(out)["series"]
    assert (series["slices"], series["even"], series["tilt_in_header"]) == (28, False, 18.5)
    assert series["tilt_of_positions"] == pytest.approx(18.5, abs=0.01)
    assert "varies from 1.08 to 7.00 mm" in " ".join(summary(out)["notes"])


def test_files_truncated_at_random_places_are_told_and_never_a_traceback(tmp_path):
    source, rng = tmp_path / "cut", np.random.default_rng(0)
    source.mkdir()
    for name in ("CT_small.dcm", "SC_rgb_jpeg.dcm", "MR_small_RLE.dcm", "693_J2KI.dcm"):
        whole = (SHIPPED / name).read_bytes()
        for place in rng.integers(0, len(whole), 20):
            (source / f"{name}_{place}.dcm").write_bytes(whole[:place])
    out = prepared(source)
    assert summary(out)["opened"] == 80 and summary(out)["used"] < 8


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(junk=st.binary(max_size=400), start=st.sampled_from([b"", b"\0" * 128 + b"DICM"]))
def test_random_bytes_are_refused_and_never_a_traceback(tmp_path_factory, junk, start):
    source = tmp_path_factory.mktemp("junk") / "files"
    source.mkdir()
    for name, content in (("a.dcm", start + junk), ("b.nii.gz", junk), ("c", start + junk)):
        (source / name).write_bytes(content)
    out = source.parent / "out"
    assert run("prepare", str(source), "--out", str(out)) == 2
    assert [p.name for p in out.iterdir()] == ["local"]


@settings(max_examples=25, deadline=None)
@given(place=st.integers(0, 300), byte=st.integers(0, 255), count=st.integers(1, 8))
def test_a_damaged_volume_is_read_or_refused(tmp_path_factory, place, byte, count):
    path = tmp_path_factory.mktemp("nifti") / "x.nii"
    nibabel.save(nibabel.Nifti1Image(np.ones((3, 4, 5), np.int16), np.eye(4)), path)
    content = bytearray(path.read_bytes())
    content[place : place + count] = bytes([byte]) * count
    path.write_bytes(content)
    with contextlib.suppress(ImageRefused):
        assert read_volume(path)[0].ndim == 3


def test_a_file_that_raises_anything_is_one_refused_file(dicom, monkeypatch, capfd):
    from clinical_qkt.data import dicom as reader

    read, calls = reader.read_header, []

    def sometimes(path):
        calls.append(path)
        if len(calls) == 5:
            raise RuntimeError("Zebrowski^Anna")
        return read(path)

    monkeypatch.setattr(reader, "read_header", sometimes)
    out = prepared(dicom, "--labels", "BodyPartExamined")
    assert summary(out)["left_out"] == {"damaged: it cannot be decoded": 1} and len(entries(out)) == 59
    assert "Zebrowski" not in "".join(capfd.readouterr())


@pytest.mark.slow
def test_five_thousand_slices_stay_under_a_gigabyte(tmp_path):
    rng, picture = np.random.default_rng(0), pictures(1, size=512)[0]
    for i in range(5000):
        picture[0, :8] = rng.integers(0, 256, 8)  # no two are alike
        header = picture_header(picture, style=2, kind=0)
        header.PatientID, header.StudyInstanceUID = f"P{i // 50}", f"1.2.{i // 50}"
        header.SeriesInstanceUID, header.ImagePositionPatient = f"1.2.{i // 50}.1", [0, 0, i % 50]
        header.ImageOrientationPatient, header.BodyPartExamined = [1, 0, 0, 0, 1, 0], f"PART {i // 50 % 2}"
        path = tmp_path / "scans" / str(i // 50) / str(i % 50)
        path.parent.mkdir(parents=True, exist_ok=True)
        header.save_as(path, enforce_file_format=True)
    command = [sys.executable, "-m", "clinical_qkt", "prepare", str(tmp_path / "scans")]
    prepare = subprocess.Popen([*command, "--labels", "BodyPartExamined", "--out", str(tmp_path / "site")])
    _, status, used = os.wait4(prepare.pid, 0)  # of this process alone, whatever other tests have started
    prepare.returncode = os.waitstatus_to_exitcode(status)
    assert prepare.returncode == 0
    assert len(entries(tmp_path / "site")) == 5000
    shutil.rmtree(tmp_path / "scans")  # 2.6 GB that pytest would keep
    peak = used.ru_maxrss / 2**20
    print(f"peak memory {peak:.2f} GiB")
    assert peak < 1e9 / 2**30
