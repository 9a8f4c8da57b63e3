"""A transfer that is killed at any moment and started again ends as if nothing had happened."""

from __future__ import annotations

import json
import os
import random
import shutil
import time
from collections import Counter
from pathlib import Path

import mlflow
import pytest

from clinical_qkt import bundle
from clinical_qkt.packages.model import load_model
from tests.conftest import CONFIGS
from tests.launcher import bundle_words, start

FILES = ("train.yaml", "transfer.yaml", "transfer_paper.yaml")
KILLS = 10


@pytest.mark.slow
def test_a_transfer_killed_at_random_moments_ends_with_the_same_figures_and_one_finished_run(demo, tmp_path):
    site = next(p for p in sorted(demo.glob("sites/*.yaml")) if "teachers:" in p.read_text())
    files = [*(CONFIGS / name for name in FILES), site]
    for _ in range(2):  # the first makes the server that all are forked from
        begun = time.monotonic()
        shutil.rmtree(tmp_path / "whole", ignore_errors=True)
        start("monai.bundle", *bundle_words(files, **where(tmp_path / "whole"))).join()
        whole = time.monotonic() - begun
    figures, weights = outcome(tmp_path / "whole")

    moments = random.Random(20261122)
    spared = 0
    for k in range(KILLS):
        out = tmp_path / f"cut_{k}"
        process = start("monai.bundle", *bundle_words(files, **where(out)))
        time.sleep(moments.uniform(0.05, 0.95) * whole)
        spared += not process.is_alive()
        process.kill()
        process.join()
        patience = time.monotonic() + 5  # what it had just called, such as git, ends by itself
        while processes_of(process.pid) and time.monotonic() < patience:
            time.sleep(0.05)
        assert not processes_of(process.pid), "the run left a process behind"
        if not (out / "summary.json").exists():
            bundle.run(files, **where(out))
        assert outcome(out) == (figures, weights), f"kill {k}"
        assert_one_finished_transfer(out / "mlflow.db")
    assert spared < KILLS / 2  # most of them were hit


def where(out: Path) -> dict[str, object]:
    """Everything of one transfer in a folder of its own."""
    return {
        "transfer_dir": str(out),
        "mlflow": f"sqlite:///{out / 'mlflow.db'}",
        "max_epochs": 6,
        "batch_size": 8,
    }


def outcome(out: Path) -> tuple[dict, str]:
    """The figures, without how long it took and which run it was, and the digest of the new weights."""
    summary = json.loads((out / "summary.json").read_text())
    del summary["seconds"], summary["identity"]
    assert (out / "report.html").is_file()
    return summary, load_model(out / "model").card.weights_sha256


def processes_of(session: int) -> list[int]:
    """The processes that are left of a session."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if os.getsid(int(entry.name)) == session:
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def assert_one_finished_transfer(database: Path) -> None:
    client = mlflow.MlflowClient(f"sqlite:///{database}", f"sqlite:///{database}")
    runs = client.search_runs([e.experiment_id for e in client.search_experiments()])
    assert {r.info.status for r in runs} == {"FINISHED"}
    names = Counter(r.info.run_name for r in runs)
    assert set(names.values()) == {1}, names
    (parent,) = (r for r in runs if "mlflow.parentRunId" not in r.data.tags)
    assert all(r.data.tags["mlflow.parentRunId"] == parent.info.run_id for r in runs if r is not parent)
    assert len(client.search_model_versions()) == 1
    assert {"report.html", "summary.json"} <= {f.path for f in client.list_artifacts(parent.info.run_id)}
