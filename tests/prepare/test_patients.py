"""Who is one patient, over all files; and that nobody is in two sections."""

from __future__ import annotations

import json
import shutil
from pathlib import Path, PurePath

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinical_qkt.prepare.findings import Found
from clinical_qkt.prepare.labelling import Label
from clinical_qkt.prepare.patients import identity, name_patient, settle
from clinical_qkt.prepare.pseudonyms import Salt
from tests.make_dicom import picture_header

from .conftest import entries, pictures, prepared, summary

SALT = Salt(bytes(32))


def seen(patient="", issuer="", study="", table="", *, reason="") -> Found:
    """A file whose header and table say this; one with a reason was refused before anybody was named."""
    header = pydicom.Dataset()
    header.PatientID, header.IssuerOfPatientID, header.StudyInstanceUID = patient, issuer, study
    one = Found("name", Path("x"), "dicom", reason, identity=identity(header, SALT))
    if not reason:
        name_patient(one, PurePath(str(id(one))), SALT, Label("", table))
    return one


def settled(*found: Found) -> tuple[list[int], list[str]]:
    """The patients as numbers in order of their first file, -1 for files that are left out; and the notes."""
    notes = settle(found)
    names = list(dict.fromkeys(f.patient for f in found if not f.reason))
    return [-1 if f.reason else names.index(f.patient) for f in found], notes


@pytest.mark.parametrize(
    ("files", "patients"),
    [
        ([("1",), ("1", "A")], [0, 0]),
        ([("1", "A"), ("1",), ("2", "A")], [0, 0, 1]),
        ([("1", "A"), ("1", "B")], [0, 1]),
        ([("1", "A"), ("1", "B"), ("1",)], [0, 0, 0]),
        ([("1 ", "A\0"), (" 1", " A"), ("1\0", "A ")], [0, 0, 0]),
        ([("1", " "), ("1", "A")], [0, 0]),
        ([("1",), ("01",)], [0, 1]),
        ([("1",), ("", "", "", "1"), ("1", "A")], [0, 0, 0]),
        ([("", "", "", " 1\0"), ("", "", "", "1")], [0, 0]),
        ([("1", "A", "s"), ("", "", "s")], [0, 0]),
        ([("", "", "s"), ("1", "A", "s"), ("1", "", "t"), ("", "", "t")], [0, 0, 0, 0]),
        ([("", "", "s"), ("", "", "s"), ("", "", "t")], [0, 0, 1]),
        ([("1", "", "s"), ("2", "", "s"), ("", "", "s")], [0, 1, -1]),
        ([("1", "A", "s"), ("1", "B", "s"), ("", "", "s")], [0, 1, -1]),
        ([("1", "A", "s"), ("1", "", "s"), ("", "", "s")], [0, 0, 0]),
        ([("1", "", "s", "X"), ("1", "", "t"), ("", "", "t")], [0, 0, 0]),
        ([("1", "", "", "X"), ("1", "", "", "Y"), ("1",)], [0, 1, -1]),
        ([("1", "A", "", "X"), ("1", "B", "", "Y"), ("1", "A")], [0, 1, 0]),
        ([("", "", ""), ("", "", "")], [0, 1]),
    ],
)
def test_files_that_may_show_one_patient_count_as_one(files, patients):
    assert settled(*(seen(*f) for f in files))[0] == patients
    swapped = settled(*(seen(*f) for f in reversed(files)))[0][::-1]
    together = [[a == b for b in patients] for a in patients]
    assert [[a == b for b in swapped] for a in swapped] == together


def test_what_was_taken_together_is_told_with_counts_and_without_names():
    _, notes = settled(
        seen("Doe1"),
        seen("Doe1", "A"),
        seen("Doe2"),
        seen("Doe2", "A"),
        seen("Doe3", "", "s"),
        seen("", "", "s"),
    )
    assert notes[0].startswith("2 patients are named with and without an IssuerOfPatientID")
    assert notes[1].startswith("1 images without a PatientID") and "Doe" not in " ".join(notes)
    assert settled(seen("1"), seen("2"), seen("", "", "s"))[1] == []


def test_a_refused_file_still_tells_whose_study_it_was():
    refused = seen("1", "A", "s", reason="truncated or damaged")
    blank, other = seen("", "", "s"), seen("1", "A", "t")
    settle([refused, blank, other])
    assert blank.patient == other.patient and blank.patient_from == "header"


HEADERS = st.tuples(*(st.sampled_from(["", "1", "2"]),) * 4)


@given(st.lists(HEADERS, min_size=1, max_size=8))
def test_no_pair_of_files_with_one_known_patient_is_ever_torn_apart(files):
    found = [seen(*f) for f in files]
    settle(found)
    kept = [(f, one.patient) for f, one in zip(files, found, strict=True) if not one.reason]
    for (id_a, issuer_a, _, table_a), a in kept:
        for (id_b, issuer_b, _, table_b), b in kept:
            if not (table_a or table_b) and id_a and id_a == id_b and "" in (issuer_a, issuer_b):
                assert a == b
            if table_a and table_a == table_b:
                assert a == b


@pytest.fixture
def scans(tmp_path):
    """Twelve patients with four images each, of whom every second file gives an issuer."""
    (tmp_path / "scans").mkdir()
    for i, picture in enumerate(pictures(48)):
        header = picture_header(picture, style=0, kind=0)
        header.PatientID, header.StudyInstanceUID = f"MRN{i // 4:04d}", f"1.2.{i // 4}"
        header.BodyPartExamined = ["HEAD", "CHEST"][i // 4 % 2]
        if i % 2:
            header.IssuerOfPatientID = "HOSP"
        if i % 4 == 3:
            del header.PatientID
        header.save_as(tmp_path / "scans" / f"{i:02d}.dcm", enforce_file_format=True)
    return tmp_path / "scans"


def test_prepare_counts_a_patient_once_and_never_deals_one_to_two_sections(scans):
    out = prepared(scans, "--labels", "BodyPartExamined")
    held: dict[str, set[str]] = {}
    for entry in entries(out):
        held.setdefault(entry["patient"], set()).add(entry["section"])
    assert len(held) == summary(out)["patients"] == 12 and all(len(s) == 1 for s in held.values())
    notes = " ".join(summary(out)["notes"])
    assert "12 patients are named with and without" in notes and "12 images without a PatientID" in notes
    written = "".join(p.read_text() for p in out.glob("*.*") if p.suffix in (".json", ".yaml", ".html"))
    assert "MRN" not in written and "HOSP" not in written


def test_a_list_whose_patients_are_in_two_sections_by_their_headers_is_refused(scans, capfd):
    sections = {"training": range(0, 40), "validation": range(40, 46), "test": range(46, 48)}
    label = ["head", "chest"]
    content = {
        s: [{"image": f"scans/{i:02d}.dcm", "label": label[i // 4 % 2]} for i in of]
        for s, of in sections.items()
    }
    content["validation"].append({"image": "extra.dcm", "label": "head"})
    shutil.copy(scans / "01.dcm", scans.parent / "extra.dcm")
    header = pydicom.dcmread(scans.parent / "extra.dcm")
    header.PixelData = np.full(len(header.PixelData), 7, np.uint8).tobytes()
    header.save_as(scans.parent / "extra.dcm", enforce_file_format=True)
    (scans.parent / "list.json").write_text(json.dumps(content))
    prepared(scans.parent / "list.json", out="refused", code=2)
    told = capfd.readouterr().err
    assert "2 patients are in more than one section: " in told and "1 in training and validation" in told
    assert "MRN" not in told
