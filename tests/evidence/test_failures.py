"""The list of wrong answers, which stays at the site."""

from __future__ import annotations

import csv
import stat

import numpy as np

from clinical_qkt.evidence import failures

NAMES = ["a", "b", "q"]
PROBABILITIES = np.array([[0.8, 0.1, 0.1], [0.1, 0.3, 0.6], [0.9, 0.05, 0.05], [0.2, 0.3, 0.5]])


def written(tmp_path, patients=None):
    files = [tmp_path / "images" / f"{i}.png" for i in range(4)]
    patients = patients and {str(files[i]): p for i, p in patients.items()}
    count = failures.write(
        tmp_path / "out", files, tmp_path, np.array([0, 1, 2, 2]), NAMES, np.zeros(4, int), PROBABILITIES,
        patients,
    )  # fmt: skip
    with (tmp_path / "out" / failures.PLACE).open(newline="") as f:
        return count, list(csv.DictReader(f))


def test_wrong_answers_are_listed_by_the_datalists_name_the_surest_first(tmp_path):
    count, rows = written(tmp_path)
    assert count == 2 and [r["file"] for r in rows] == ["images/2.png", "images/1.png"]
    assert rows[0] == {
        "file": "images/2.png",
        "patient": "",
        "true": "q",
        "called before": "a",
        "called after": "a",
        "stated probability": "0.9000",
    }


def test_a_patient_is_told_where_the_datalist_names_one(tmp_path):
    assert [r["patient"] for r in written(tmp_path, {1: "p7"})[1]] == ["", "p7"]


def test_no_cell_is_a_spreadsheets_formula(tmp_path):
    _, rows = written(tmp_path, {1: '=HYPERLINK("x")', 2: "-3"})
    assert [r["patient"] for r in rows] == ["'-3", '\'=HYPERLINK("x")']


def test_only_its_owner_may_open_it(tmp_path):
    written(tmp_path)
    path = tmp_path / "out" / failures.PLACE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
