"""What networks cost: the command runs, and the page shows what it found."""

from __future__ import annotations

import json
import re

import pytest
import typer.testing

from clinical_qkt.research.benchmark import network_cost
from tests.conftest import ROOT

pytestmark = pytest.mark.usefixtures("real_footprints")


@pytest.mark.parametrize(
    ("file", "names", "sizes"),
    [
        ("network_cost.json", network_cost.NETWORKS, network_cost.SIZES),
        ("network_cost_of_volumes.json", network_cost.OF_VOLUMES, network_cost.SIZES_OF_VOLUMES),
    ],
)
def test_the_page_shows_what_the_file_holds(file, names, sizes):
    page = (ROOT / "docs/reference/input-contract.md").read_text()
    shown = re.search(rf"<!-- made by \S+: {file} -->\n(.*?)\n<!-- end", page, re.S)
    rows = json.loads((ROOT / "docs/results" / file).read_text())
    assert shown and shown[1] == network_cost.table(rows)
    assert {(r["network"], r["pixels"]) for r in rows} == {(name, size) for name in names for size in sizes}


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


def test_a_volume_costs_more_than_a_picture_of_as_many_pixels_a_side():
    picture, volume = (network_cost.measured("resnet_small", 16, 1, volumes=v) for v in (False, True))
    assert volume["train_bytes"] > 4 * picture["train_bytes"]
    assert volume["package_bytes"] > picture["package_bytes"]  # kernels of three dimensions


def test_a_case_that_takes_too_long_is_left_out_before_it_is_tried():
    row = network_cost.measured("resnet18", 512, 1)
    assert row == {"network": "resnet18", "pixels": 512, "left_out": "too long"}
