"""``prepare --groups``."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from clinical_qkt.core.errors import InputError
from clinical_qkt.prepare.groups import columns_of
from clinical_qkt.prepare.labelling import TableLabels, labelling_of
from tests.conftest import COLOURS, run

from .conftest import entries, prepared, summary


def table(folder: Path, column: str, *values: str) -> Path:
    """A table of all pictures in a folder, with values dealt in turn."""
    files = sorted(p.relative_to(folder) for p in folder.rglob("*.png"))
    rows = [(f.as_posix(), f.parts[0], values[k % len(values)]) for k, f in enumerate(files)]
    with (folder.parent / "labels.csv").open("w", newline="") as f:
        csv.writer(f).writerows([("file", "label", column), *rows])
    return folder.parent / "labels.csv"


def read(tmp_path, text: str, *columns: str):
    (tmp_path / "t.csv").write_text(text)
    return TableLabels.read(tmp_path / "t.csv", groups=columns)


def test_groups_of_the_table_reach_the_datalist_and_what_is_blank_is_counted(folder):
    labels = table(folder, "Sex", "F", "M", "")
    out = prepared(folder, "--labels", str(labels), "--groups", "sex")
    told = [e.get("groups") for e in entries(out)]
    assert len(told) == 12 * len(COLOURS)
    assert [told.count(v) for v in ({"sex": "F"}, {"sex": "M"}, None)] == [20, 20, 20]
    assert "the column 'sex' tells 2 groups apart; of 20 of 60 images it is not told" in summary(out)["notes"]


def test_groups_of_a_datalist_are_carried_on(folder):
    labels = table(folder, "ward", "7", "8")
    first = prepared(folder, "--labels", str(labels), "--groups", "ward")
    assert run("prepare", str(first / "datalist.json"), "--out", str(folder.parent / "again")) == 0
    assert sorted(e["groups"]["ward"] for e in entries(folder.parent / "again")) == ["7"] * 30 + ["8"] * 30


def test_a_column_that_is_not_asked_for_is_not_carried(folder):
    out = prepared(folder, "--labels", str(table(folder, "sex", "F", "M")))
    assert not any("groups" in e for e in entries(out))


@pytest.mark.parametrize("labels", [None, "folder"])
def test_groups_need_a_table(folder, capfd, labels):
    options = ["--labels", labels] if labels else []
    prepared(folder, *options, "--groups", "sex", code=2)
    assert "--groups: needs a table of labels" in capfd.readouterr().err


def test_too_many_values_are_refused_with_the_remedy_before_any_image_is_opened(folder, capfd):
    labels = table(folder, "age", *map(str, range(30, 55)))
    out = prepared(folder, "--labels", str(labels), "--groups", "age", code=2)
    said = " ".join(capfd.readouterr().err.split())
    assert "'age' has 25 values, and groups have 20 at most" in said and "age_band" in said
    assert not (out / "datalist.json").exists()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("sex,", "has no name"),
        ("sex,Sex", "names a column twice"),
        ("patient", "'patient' names patients"),
        ("mrn", "'mrn' names patients"),
        ("label", "'label' is no group"),
    ],
)
def test_columns_that_cannot_be_groups_are_refused_by_name(given, message):
    with pytest.raises(InputError, match=message):
        columns_of(given)


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("file,label,sex\na.png,x,F\n", "sexe", "no column 'sexe'"),
        ("file,label,age\na.png,x,45.5\n", "age", "'age' is a fraction"),
        ("file,label,sex\na.png,x,F\nb.png,y,f\n", "sex", "two values of 'sex' differ"),
        ("file,label,sex\na.png,x,F\na.png,x,M\n", "sex", "or other groups, than an earlier row"),
    ],
)
def test_a_wrong_column_is_refused_and_nothing_of_its_cells_is_said(tmp_path, text, column, message):
    with pytest.raises(InputError, match=message) as e:
        read(tmp_path, text, column)
    assert "a.png" not in str(e.value) and "45" not in str(e.value)


def test_a_misspelt_column_is_told_its_likeliest(tmp_path):
    with pytest.raises(InputError) as e:
        read(tmp_path, "file,label,patient,age_band\na.png,x,1,40-49\n", "age_bands")
    assert "did you mean 'age_band'?" in e.value.fix and "patient" not in e.value.fix


def test_marks_for_missing_values_are_not_told_and_whole_numbers_are_words(tmp_path):
    rows = read(tmp_path, "file,label,ward\na.png,x,7.0\nb.png,x,NA\nc.png,x,\n", "ward").rows
    assert [rows[f].groups for f in ("a.png", "b.png", "c.png")] == [(("ward", "7"),), (), ()]


def test_a_dicom_keyword_has_no_groups():
    with pytest.raises(InputError, match="needs a table"):
        labelling_of("Modality", ("sex",))
