"""Every stage is measured beside the bare work, and the page shows what was found."""

from __future__ import annotations

import json
import re

import pytest
import typer

from clinical_qkt.research.benchmark import stage_speed, stage_speed_page
from clinical_qkt.research.benchmark.stage_speed import SIZES, Size
from tests.conftest import ROOT


def test_the_page_shows_what_the_file_holds():
    page = (ROOT / "docs/results/speed.md").read_text()
    file = ROOT / "docs/results/speed_processor.json"
    shown = re.search(rf"<!-- made by \S+: {file.name} -->\n(.*?)\n<!-- end", page, re.S)
    assert shown and shown[1] == stage_speed_page.tables(json.loads(file.read_text()))


def test_each_stage_is_measured_beside_the_bare_work(tmp_path):
    rows = stage_speed.measure(Size("resnet_small", 28, 4, 4, 2), repeats=1, seconds=0.001, folder=tmp_path)
    assert {row["what"] for row in rows} >= {"reading JPEG pictures", "training", "probing a model"}
    assert all(row["ours"] > 0 and row["bare"] > 0 for row in rows) and len(rows) == 9


def test_the_page_names_what_takes_too_long():
    fast = {"network": "n", "pixels": 28, "what": "training", "ours": 0.0013, "bare": 0.001}
    slow = {**fast, "pixels": 224, "ours": 0.0014}
    read = {**slow, "what": stage_speed_page.READING}
    told = stage_speed_page.tables({"stages": [fast, slow, read], "fixed": {"importing": 5.93}})
    assert "1 of 3: training at 224 pixels." in told and "| importing | 5.9 |" in told
    assert "| training | 1.30 (1) | 1.40 (1) |" in told


def test_other_sizes_are_refused():
    assert stage_speed.sizes("28,512") == [28, 512] and set(SIZES) == {28, 224, 512}
    with pytest.raises(typer.BadParameter, match="choose among 28, 224, 512"):
        stage_speed.sizes("28,100")
