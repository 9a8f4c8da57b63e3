"""The main job on real images, where they lie beside the repository."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.conftest import ROOT, run

DATA = Path(os.environ.get("CLINICAL_QKT_DATA", ROOT.parent / "shared" / "data"))
BLOOD, BODY = DATA / "pbc_blood_28.npz", DATA / "mednist_28.npz"


def need(file: Path) -> str:
    if not file.is_file():
        pytest.skip(f"{file.name} is not there; set CLINICAL_QKT_DATA to the folder that holds it")
    return str(file)


@pytest.mark.slow
@pytest.mark.parametrize(("file", "channels"), [(BLOOD, 3), (BODY, 1)], ids=["blood cells", "body regions"])
def test_a_small_part_of_the_real_images_goes_all_the_way(file, channels, tmp_path):
    out = tmp_path / "out"
    few = ("--max-per-class", "30", "--max-epochs", "3", "--sites", "3")
    assert run("demo", "--data", need(file), "--out", str(out), *few) == 0
    summary = json.loads((out / "summary.json").read_text())
    assert not summary["data"]["generated"] and "Generated images" not in (out / "report.html").read_text()
    card = json.loads((out / "model" / "card.json").read_text())
    assert card["input"]["channels"] == channels and not card["generated_data"]


@pytest.mark.slow
@pytest.mark.parametrize("seed", ["0", "1", "2"])
def test_a_blood_cell_class_is_gained_within_three_points(seed, tmp_path):
    assert run("demo", "--data", need(BLOOD), "--seed", seed, "--out", str(tmp_path / "out")) == 0
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["before"]["query_recall"] == 0
    assert summary["after"]["query_recall"] >= 0.6 and summary["forgetting"]["mean"] <= 0.03
