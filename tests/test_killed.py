"""A transfer that is killed at any moment and started again ends as if nothing had happened."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import mlflow
import pytest
from conftest import CONFIGS

from clinical_qkt import bundle
from clinical_qkt.packages.store import load_model

FILES = ("train.yaml", "transfer.yaml", "transfer_distil.yaml")
KILLS = 10


@pytest.mark.slow
def test_a_transfer_killed_at_random_moments_ends_with_the_same_figures_and_one_finished_run(demo, tmp_path):
    site = next(p for p in sorted(demo.glob("sites/*.yaml")) if "teachers:" in p.read_text())
    files = [*(CONFIGS / name for name in FILES), site]
    start = time.monotonic()
    launched(files, where(tmp_path / "whole")).wait()
    whole = time.monotonic() - start
    figures, weights = outcome(tmp_path / "whole")

    moments = random.Random(20261122)
    spared = 0
    for k in range(KILLS):
        out = tmp_path / f"cut_{k}"
        process = launched(files, where(out))
        time.sleep(moments.uniform(0.4, 1.0) * whole)
        spared += process.poll() is not None
        process.send_signal(signal.SIGKILL)
        process.wait()
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


def launched(files: list[Path], options: dict[str, object]) -> subprocess.Popen[bytes]:
    words = [w for key, value in options.items() for w in (f"--{key}", str(value))]
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", str([str(f) for f in files])]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen([*command, *words], **quiet, start_new_session=True)


def outcome(out: Path) -> tuple[dict, str]:
    """The figures, without how long it took, and the digest of the new weights."""
    summary = json.loads((out / "summary.json").read_text())
    del summary["seconds"]
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
