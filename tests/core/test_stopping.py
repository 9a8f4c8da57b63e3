"""A stage that is stopped ends in order, with one sentence, and goes on next time."""

from __future__ import annotations

import errno
import os
import signal
import time
from pathlib import Path

import mlflow
import pytest
from ignite.engine import Engine

from clinical_qkt.core.errors import InputError
from clinical_qkt.core.stopping import guarded, plainly
from clinical_qkt.training.handlers import FiniteLoss
from tests.conftest import CONFIGS
from tests.launcher import bundle_words, start

PATIENCE = 120


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_training_that_is_stopped_closes_its_run_and_says_how_it_goes_on(demo, tmp_path, number, code):
    site = next(p for p in sorted(demo.glob("sites/*.yaml")) if "teachers:" not in p.read_text())
    where = {"output_dir": str(tmp_path / "out"), "mlflow": f"sqlite:///{tmp_path}/m.db"}
    words = bundle_words([CONFIGS / "train.yaml", site], max_epochs=1000, **where)
    process = start("monai.bundle", *words, output=tmp_path)
    end = time.monotonic() + PATIENCE
    while not list(tmp_path.glob("out/unfinished/*/*.pt")) and time.monotonic() < end:
        time.sleep(0.1)
    os.kill(process.pid, number)
    process.join(PATIENCE)
    told = (tmp_path / "stderr").read_text()
    assert process.exitcode == code
    assert told.endswith("stopped; the same command goes on from what is done\n")
    assert "Traceback" not in told and "terminating" not in told
    assert not (tmp_path / "out" / "model").exists()
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/m.db")
    runs = client.search_runs([e.experiment_id for e in client.search_experiments()])
    assert [run.info.status for run in runs] == ["FAILED"]


def test_a_stage_without_checkpoints_begins_anew(capsys):
    def stopped() -> None:
        signal.raise_signal(signal.SIGTERM)

    for command, private, told in (
        ("evaluate", False, "begins anew"),
        ("train", True, "begins anew"),
        ("transfer", False, "goes on"),
    ):
        with pytest.raises(SystemExit) as e:
            guarded(stopped, command, Path("out"), private=private)()
        assert e.value.code == 143 and told in capsys.readouterr().err


def test_the_signals_mean_what_they_meant_before_once_a_stage_has_ended():
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with plainly("", Path("out")):
        assert signal.getsignal(signal.SIGINT) is not before[0]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_a_full_disk_ends_a_stage_with_what_is_to_be_freed(capsys):
    with pytest.raises(SystemExit) as e, plainly("", Path("runs/us")):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert e.value.code == 5
    assert "error: runs/us: the disk is full\nTo fix it: free some space" in capsys.readouterr().err


def test_a_bug_is_not_hidden():
    with pytest.raises(KeyError), plainly("", Path("out")):
        raise KeyError("a bug")


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_ends_the_training(loss):
    engine = Engine(lambda *_: {"loss": loss})
    FiniteLoss().attach(engine)
    with pytest.raises(InputError, match="the loss became") as e:
        engine.run([0], max_epochs=1)
    assert "learning_rate" in e.value.fix
