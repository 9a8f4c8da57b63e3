"""Real processes, killed with signal 9 at ten moments: nothing is lost, nothing is told twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from clinical_qkt.exchange.at_desk import at_desk
from clinical_qkt.exchange.collected import collected
from clinical_qkt.site.ledger.ledger import Ledger
from tests.conftest import run
from tests.docs.test_commands import checkout, here, squares

__all__ = ["checkout", "here", "squares"]
MOMENTS = [0.3, 0.8, 1.5, 3, 5, 7, 9, 11, 13, 15]
"""Seconds after a sweep began; a whole one takes some fifteen."""


def sweep(site: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "clinical_qkt", "exchange", "sweep", str(site)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def children(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(word) for word in listed.read_text().split()] if listed.exists() else []


def finish(site: Path) -> None:
    """Sweeps until one did its work: a child that outlived its parent holds the desk until it has ended."""
    for _ in range(60):
        if sweep(site).wait() == 0:
            return
        time.sleep(1)
    raise AssertionError("no sweep came to its end")


@pytest.mark.slow
def test_a_desk_that_is_killed_ten_times_answers_once(here, monkeypatch):
    monkeypatch.chdir(here)
    monkeypatch.setenv("CLINICAL_QKT_STATE", str(here / "runs/demo/state"))
    you, they = (Path(f"runs/demo/sites/hospital_{i}.yaml").absolute() for i in (3, 1))
    Ledger(at_desk(they).ledger).begin()  # so that policy answers
    assert run("run", "query", str(you), "--yes", "true") == 0
    assert run("exchange", "ask", str(you), "--to", "hospital_1") == 0
    for k, moment in enumerate(MOMENTS):
        finish(you) if k == 0 else None
        process = sweep(they)
        time.sleep(moment)
        below = children(process.pid)
        victims = below if below and k % 2 else [process.pid]  # the one that computes, or its parent
        for victim in victims:
            try:
                os.kill(victim, signal.SIGKILL)
            except ProcessLookupError:
                continue
        process.wait()
    for _ in range(3):
        finish(they)
        finish(you)
    (row,) = at_desk(they).store.of("in", "ask")
    if row.state == "failed":  # three were killed while it was answered: a person decides, and it goes on
        assert run("approve", str(they), row.short, "--yes") == 0
        finish(they)
        finish(you)
    (row,) = at_desk(they).store.of("in", "ask")
    assert row.state == "answered"
    assert len(at_desk(they).store.of("out", "reply")) == 1
    assert len(collected(at_desk(you))["responses"]) == 1
    answers = [one for one in Ledger(at_desk(they).ledger).lines() if one["noise_multiplier"] is not None]
    assert len(answers) == 1
