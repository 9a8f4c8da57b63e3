"""The command that measures a GPU runs without one, and the page shows what it found."""

from __future__ import annotations

import json
import re

import pytest
import torch

from clinical_qkt.research.benchmark import gpu, gpu_page, gpu_work
from clinical_qkt.research.benchmark.gpu_training import WAYS
from clinical_qkt.research.benchmark.gpu_work import Work
from tests.conftest import ROOT

CPU = torch.device("cpu")


@pytest.mark.parametrize("file", ["speed.json", "speed_before.json"])
def test_the_page_shows_what_the_files_hold(file):
    page = (ROOT / "docs/results/speed.md").read_text()
    shown = re.search(rf"<!-- made by \S+: {file} -->\n(.*?)\n<!-- end", page, re.S)
    assert shown and shown[1] == gpu_page.tables(json.loads((ROOT / "docs/results" / file).read_text()))


def test_without_a_gpu_tiny_cases_run_and_the_file_names_the_processor(monkeypatch):
    monkeypatch.setattr(gpu, "TINY", gpu.TINY[:1])
    monkeypatch.setattr(gpu, "TINY_WORK", [])
    (found,) = gpu.measure(CPU, 0.01, 1, list(WAYS))
    assert found["device"] == "cpu" and found["mixed_precision"] is None
    assert [row["precision"] for row in found["training"]] == ["single"]
    told = gpu_page.tables(found)
    assert told.startswith("cpu, ") and "Ours reaches at least 90 %" in told


@pytest.mark.slow
def test_everything_else_runs_too():
    rows = gpu_work.measured(Work("resnet_small", 28, 32, 4, private=1), CPU, 1)
    assert len(rows) == 10 and all(row["images_per_second"] > 0 for row in rows)
    assert "training with differential privacy" in gpu_page.work_line(rows[-1])
