"""No patient and no image in two sections, whoever made the list."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from clinical_qkt.core.errors import InputError
from clinical_qkt.data.datalist import SECTIONS, load_datalist
from clinical_qkt.data.label_space import LabelSpace
from clinical_qkt.data.leaks import Listed, refuse_leaks
from clinical_qkt.data.sources import open_source
from tests.conftest import square
from tests.make_dicom import picture_header

CLASSES = LabelSpace(["red", "green"])


@pytest.fixture
def listed(tmp_path):
    """Writes a list of four images a class and section, each changed by a function, and gives its path."""

    def write(change=lambda section, k, entry: entry):
        content = {s: [] for s in SECTIONS}
        for section in SECTIONS:
            for k, kind in enumerate(CLASSES.names * 4):
                file = f"{section}_{k}.png"
                Image.fromarray(square(kind, k)).save(tmp_path / file)
                content[section].append(change(section, k, {"image": file, "label": kind}))
        (tmp_path / "list.json").write_text(json.dumps(content))
        return tmp_path / "list.json"

    return write


def of_patient(name):
    return lambda section, k, entry: {**entry, "patient": name(section, k)}


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (lambda s, k: f"P{k}", "8 patients are in more than one section: 8 in training, validation and test"),
        (lambda s, k: k, "8 patients are in more than one section"),
        (
            lambda s, k: {"training": "p{}", "validation": "P {}", "test": "P{}"}[s].format(k),
            "8 in training, v",
        ),
        (
            lambda s, k: {"training": "{}", "validation": "0{}", "test": "00{}"}[s].format(k),
            "8 in training, v",
        ),
        (lambda s, k: float(k) if s == "test" else k, "8 in training, validation and test"),
        (lambda s, k: f"P\u200b{k}" if s == "test" else f"P{k}", "8 in training, validation and test"),
        (
            lambda s, k: f"{s[:2]}{k}" if k else " P\0" if s == "test" else "P",
            "1 patient is in more than one",
        ),
        (
            lambda s, k: (
                f"{s}{k}" if k > 2 else f"P{k}" if s == "test" or (s, k) != ("validation", 0) else "v"
            ),
            "3 patients are in .*: 2 in training, validation and test, 1 in training and test",
        ),
    ],
)
def test_patients_in_two_sections_are_refused_with_counts_and_no_names(listed, name, told):
    path = listed(of_patient(name))
    for read in (lambda: load_datalist(path, CLASSES), lambda: open_source(path)):
        with pytest.raises(InputError, match=told) as e:
            read()
        assert "P" not in e.value.problem and e.value.where == str(path)


def test_patients_of_one_section_each_are_taken(listed):
    path = listed(of_patient(lambda s, k: f"{s} {k // 4}"))
    assert len(set(load_datalist(path, CLASSES).patients.values())) == 6


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            lambda s, k, e: {**e, "image": "training_0.png"} if (s, k) == ("test", 0) else e,
            r"1 image is in more than one section, the first at training\[0\] and test\[0\]",
        ),
        (
            lambda s, k, e: {**e, "image": f"./x/../training_{k}.png"},
            "16 images are in more than one section",
        ),
        (
            lambda s, k, e: {**e, "image": "training_0.png"} if (s, k) == ("training", 3) else e,
            r"1 image is listed with more than one label, the first at training\[0\] and training\[3\]",
        ),
    ],
)
def test_an_image_in_two_sections_or_with_two_labels_is_refused_with_its_places(listed, change, told):
    path = listed(change)
    (path.parent / "x").mkdir()
    with pytest.raises(InputError, match=told):
        load_datalist(path, CLASSES)


def test_a_link_to_an_image_is_that_image(listed):
    path = listed(lambda s, k, e: {**e, "image": "link.png"} if (s, k) == ("test", 1) else e)
    (path.parent / "link.png").symlink_to("validation_1.png")
    with pytest.raises(InputError, match=r"the first at validation\[1\] and test\[1\]"):
        load_datalist(path, CLASSES)


@pytest.mark.parametrize(
    ("issuers", "count"),
    [(("", ""), 1), (("A", ""), 1), (("A", "A"), 1), (("A", "B"), 0), (("A\0", "A "), 1)],
)
def test_headers_tell_patients_where_the_list_does_not(tmp_path, issuers, count):
    of = []
    for section, issuer in zip(("training", "test"), issuers, strict=True):
        header = picture_header(square("red", 0)[..., 0], style=0, kind=0)
        header.PatientID, header.IssuerOfPatientID = "Doe7 ", issuer
        header.save_as(tmp_path / section, enforce_file_format=True)
        of.append(Listed(section, f"{section}[0]", tmp_path / section, "red"))
    if count:
        with pytest.raises(InputError, match="1 patient is in more than one section") as e:
            refuse_leaks(of, "list")
        assert "Doe" not in str(e.value)
    refuse_leaks([Listed(o.section, o.at, o.file, o.label, f"P{i}") for i, o in enumerate(of)], "list")
    refuse_leaks([o for o in of if not count or o.section == "test"], "list")


@given(st.lists(st.tuples(st.sampled_from(SECTIONS), st.integers(0, 5)), max_size=12))
def test_a_list_is_taken_just_when_no_patient_is_in_two_sections(tmp_path_factory, images):
    folder = tmp_path_factory.getbasetemp()
    listed = [Listed(s, f"{s}[{i}]", folder / f"{i}.png", "a", f"P{p}") for i, (s, p) in enumerate(images)]
    shared = any(s != t for s, p in images for t, q in images if p == q)
    try:
        refuse_leaks(listed, "x")
        assert not shared
    except InputError:
        assert shared
