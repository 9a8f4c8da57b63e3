"""What networks cost: the command runs, and the page shows what it found."""

from __future__ import annotations

import json
import re

import pytest
import typer.testing

from clinical_qkt.research.benchmark import network_cost
from tests.conftest import ROOT

pytestmark = pytest.mark.usefixtures("real_footprints")


def test_the_page_shows_what_the_file_holds():
    page = (ROOT / "docs/reference/input-contract.md").read_text()
    shown = re.search(r"<!-- made by \S+: network_cost.json -->\n(.*?)\n<!-- end", page, re.S)
    rows = json.loads((ROOT / "docs/results/network_cost.json").read_text())
    assert shown and shown[1] == network_cost.table(rows)
    assert {(r["network"], r["pixels"]) for r in rows} == {
        (name, size) for name in network_cost.NETWORKS for size in network_cost.SIZES
    }


def test_a_larger_picture_costs_more_and_what_cannot_be_had_is_counted(tmp_path):
    app, out = typer.Typer(), tmp_path / "cost.json"
    app.command()(network_cost.main)
    words = ["--networks", "resnet_small,vit_s16", "--sizes", "24,48", "--repeats", "1", "--out", str(out)]
    told = typer.testing.CliRunner().invoke(app, [*words, "--longest", "1"]).output

    small, large, none, _ = json.loads(out.read_text())
    assert 2 < large["train_bytes"] / small["train_bytes"] < 5
    assert small["package_bytes"] == large["package_bytes"] > 4 * 300_000
    assert min(small["train_seconds"], large["inference_seconds"]) > 0
    assert none == {"network": "vit_s16", "pixels": 24, "left_out": "no such size"}
    assert "| `resnet_small` | 24 | 1 | 1 |" in told
    assert "ratios to `resnet_small` at 24 pixels" in told and "no such size: `vit_s16` at 24." in told


def test_a_case_that_takes_too_long_is_left_out_before_it_is_tried():
    row = network_cost.measured("resnet18", 512, 1)
    assert row == {"network": "resnet18", "pixels": 512, "left_out": "too long"}
