"""A filled table is read as spreadsheets save it, and refused where it is not the list that was drawn."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from clinical_qkt.core.errors import InputError
from clinical_qkt.core.files import sha256
from clinical_qkt.data.label_space import LabelSpace
from clinical_qkt.worklist.filled import read_labels, require_images
from clinical_qkt.worklist.listing import LIST, TABLE, Part, Row, Worklist, read_list, write_list
from clinical_qkt.worklist.result import read_result
from clinical_qkt.worklist.words import allowed

FILES = ["a.png", "sub/0012", "c.png"]
FILLED = "number,file,label\n1,./a.png,basophil\n2,./sub/0012,none of these\n3,./c.png,monocyte\n"


@pytest.fixture
def listed(tmp_path: Path) -> Worklist:
    """A list of three images, written, and its archive."""
    for file in FILES:
        (tmp_path / "archive" / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "archive" / file).write_bytes(file.encode())
    made = Worklist(
        version="1", created="2026-11-26", site="us", query=["basophil"], weights_sha256="w", seed=0,
        images=9,
        classes=[c.model_dump(mode="json") for c in LabelSpace(["monocyte", "basophil"])], left_out={},
        parts=[Part(called="basophil", images=1, drawn=1), Part(called=None, images=8, drawn=2)],
        rows=[
            Row(number=i, file=f, sha256=sha256(tmp_path / "archive" / f), part=p, weight=w)
            for i, f, p, w in zip((1, 2, 3), FILES, (0, 1, 1), (1.0, 4.0, 4.0), strict=True)
        ],
    )  # fmt: skip
    write_list(tmp_path, made)
    return read_list(tmp_path)


def filled(folder: Path, text: str | bytes) -> Path:
    """A table with that content."""
    path = folder / "filled.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def refused(folder: Path, text: str, listed: Worklist) -> str:
    """What is said of a table that is not taken."""
    with pytest.raises(InputError) as e:
        read_labels(filled(folder, text), listed)
    return str(e.value)


def test_the_table_to_fill_in_tells_nothing_but_numbers_and_files(listed, tmp_path):
    text = (tmp_path / TABLE).read_bytes().decode("utf-8-sig")
    assert text.splitlines() == ["number,file,label", "1,./a.png,", "2,./sub/0012,", "3,./c.png,"]


@pytest.mark.parametrize(
    "text",
    [
        FILLED,
        "\ufeff" + FILLED.replace(",", ";").replace("\n", "\r\n"),
        "sep=\t\n" + FILLED.replace(",", "\t"),
        FILLED.replace("./sub/0012", ".\\sub\\0012").replace("number,file,label", "Number,FILE, Label "),
        FILLED.replace("1,", "1.0,").replace("basophil", "Basophil ").replace("none of", "None  Of"),
        "\n".join([FILLED.splitlines()[0], *reversed(FILLED.splitlines()[1:])]),
        FILLED.replace("label\n", "label,note\n").replace("basophil", "basophil,sure")
        .replace("these", "these,").replace("monocyte", "monocyte,"),
    ],
)  # fmt: skip
def test_a_table_is_read_however_a_spreadsheet_saved_it(listed, tmp_path, text):
    assert read_labels(filled(tmp_path, text), listed) == {1: "basophil", 2: "none of these", 3: "monocyte"}


def test_an_open_label_is_refused_with_its_number(listed, tmp_path):
    said = refused(tmp_path, FILLED.replace("none of these", " ").replace("basophil", ""), listed)
    assert "2 of 3 labels are open: numbers 1, 2" in said and "not usable" in said


@pytest.mark.parametrize(
    ("was", "now", "said"),
    [
        ("basophil", "basofil", "did you mean 'basophil'?"),
        ("basophil", "none of that", "did you mean 'none of these'?"),
        ("basophil", "NA", "row 2: 'label' is a mark for a missing"),
        ("3,./c.png,monocyte\n", "", "lacks number 3"),
        ("3,./c", "2,./sub/0012,monocyte\n3,./c", "row 4: has number 2 a second time"),
        ("3,./c.png", "4,./c.png", "row 4: has a number that is not on the list"),
        ("3,./c.png", "3,./a.png", "row 4: names another file than the list has for number 3"),
        ("number,", "no,", "has no column 'number'"),
    ],
)
def test_a_table_that_is_not_the_list_or_says_no_class_of_it_is_refused(listed, tmp_path, was, now, said):
    assert said in refused(tmp_path, FILLED.replace(was, now, 1), listed)


def test_no_error_names_a_file_of_the_archive(listed, tmp_path):
    said = refused(tmp_path, FILLED.replace("./c.png", "./mueller_anna.png"), listed)
    (tmp_path / "archive" / "c.png").write_bytes(b"other")
    with pytest.raises(InputError) as e:
        require_images(tmp_path / "archive", listed)
    for text in (said, str(e.value)):
        assert "c.png" not in text and "mueller" not in text


def test_an_image_that_is_gone_or_has_changed_is_refused(listed, tmp_path):
    archive = tmp_path / "archive"
    require_images(archive, listed)
    (archive / "a.png").write_bytes(b"other")
    with pytest.raises(InputError, match="the image of number 1 has changed"):
        require_images(archive, listed)
    (archive / "a.png").unlink()
    with pytest.raises(InputError, match="the image of number 1 is not there"):
        require_images(archive, listed)


def test_a_list_that_was_changed_is_refused(listed, tmp_path):
    content = json.loads((tmp_path / LIST).read_text())
    content["rows"][0]["weight"] = 2.0
    (tmp_path / LIST).write_text(json.dumps(content))
    with pytest.raises(InputError, match="was changed since it was drawn"):
        read_list(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": "clinical-qkt/worklist/2"}'])
def test_what_is_no_list_is_refused(tmp_path, text):
    (tmp_path / LIST).write_text(text)
    with pytest.raises(InputError, match="is no list of this software"):
        read_list(tmp_path)


def test_the_list_of_another_model_is_refused(listed, tmp_path):
    with pytest.raises(InputError, match="is not the one that the list was drawn for"):
        read_result(tmp_path, tmp_path / "archive", filled(tmp_path, FILLED), "other")


def test_answers_become_figures_of_the_archive(listed, tmp_path):
    told = read_result(tmp_path, tmp_path / "archive", filled(tmp_path, FILLED), "w")
    of_class = told.classes["basophil"]
    assert (told.images, told.labels, of_class.called, of_class.labelled) == (9, 3, 1, 1)
    assert of_class.precision.value == 1 and of_class.precision.ci95 == [1, 1]
    assert of_class.recall.value == 1 and 0.05 < of_class.recall.ci95[0] < 0.5
    assert of_class.prevalence.value == pytest.approx(1 / 9)
    assert told.answers == {"basophil": 1, "none of these": 1, "monocyte": 1}


def test_images_that_are_not_usable_are_counted_and_left_out(listed, tmp_path):
    text = FILLED.replace("none of these", "Not usable")
    told = read_result(tmp_path, tmp_path / "archive", filled(tmp_path, text), "w").classes["basophil"]
    assert told.unusable.value == pytest.approx(4 / 9)
    assert told.prevalence.value == pytest.approx(1 / 5)
    assert told.prevalence.ci95[1] > 2 / 9


def test_a_class_called_like_one_of_the_two_words_is_refused():
    with pytest.raises(InputError, match="a meaning of its own"):
        allowed(LabelSpace(["monocyte", "Not_Usable"]))
