"""The best weights are kept, with their epoch, whatever cuts a training off."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from ignite.engine import Engine, Events
from torch import nn

from clinical_qkt.training.best import Best
from clinical_qkt.training.handlers import Resume

CPU = torch.device("cpu")


class Cut(Exception):
    """The machine fails."""


def run(folder: Path, recalls: list[float], *, keep="best", patience=None, interval=1, cut=0, late=False):
    """A training whose weight is the number of its epoch, and whose recalls are given.

    Args:
        cut: the epoch after which it fails, once its checkpoint is written; ``late``: after the last one.
    """
    network = nn.Linear(1, 1, bias=False)
    validator = Engine(lambda *_: None)
    trainer = Engine(lambda *_: None)

    @trainer.on(Events.EPOCH_COMPLETED)
    def learn(engine: Engine) -> None:
        with torch.no_grad():
            network.weight.fill_(float(engine.state.epoch))
        if engine.state.epoch % interval == 0:
            validator.state.metrics["val_recall"] = recalls[engine.state.epoch - 1]

    best = Best(validator, network, folder, keep, patience, interval)
    best.attach(trainer)
    Resume(folder, {"network": network, "best": best}, CPU).attach(trainer)
    if cut:

        @trainer.on(Events.COMPLETED if late else Events.EPOCH_COMPLETED)
        def fail(engine: Engine) -> None:
            if late or engine.state.epoch == cut:
                raise Cut

    trainer.run([0], max_epochs=len(recalls))
    return float(network.weight.detach()), best, trainer


@pytest.mark.parametrize(
    ("recalls", "epoch"), [([0.5, 0.9, 0.7], 2), ([0.5, 0.9, 0.9], 3), ([0.0, 0.0], 2), ([0.3, 0.2], 1)]
)
def test_the_weights_of_the_best_epoch_are_kept_the_latest_of_equal_ones(tmp_path, recalls, epoch, capsys):
    weight, best, _ = run(tmp_path / "w", recalls)
    assert (weight, best.epoch, best.recall) == (epoch, epoch, max(recalls))
    assert best.told() == {"best_epoch": epoch, "best_val_recall": max(recalls)}
    assert f"kept the weights of epoch {epoch} of {len(recalls)}" in capsys.readouterr().err


def test_a_folder_may_be_named_from_where_the_training_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(Path("w"), [0.5, 0.9, 0.7])[0] == 2


def test_the_last_weights_are_kept_by_default_and_nothing_more_is_written(tmp_path, capsys):
    weight, best, _ = run(tmp_path / "w", [0.9, 0.5], keep="last")
    assert weight == 2 and best.told() == {} and not (tmp_path / "w" / "best").exists()
    assert capsys.readouterr().err == ""
    assert "best" not in torch.load(sorted((tmp_path / "w").glob("*.pt"))[-1], weights_only=True)


def test_it_stops_after_so_many_looks_without_a_higher_recall(tmp_path):
    recalls = [0.5, 0.8, 0.7, 0.8, 0.6, 0.9]
    weight, best, trainer = run(tmp_path / "a", recalls, patience=2)
    assert (weight, best.epochs) == (4, 4) and trainer.state.epoch == 4  # equal is not higher
    weight, best, _ = run(tmp_path / "b", recalls, patience=4)
    assert (weight, best.epochs) == (6, 6)


def test_epochs_that_were_not_looked_at_are_never_the_best(tmp_path):
    weight, best, _ = run(tmp_path / "w", [0.9, 0.5, 0.9, 0.6, 0.9], interval=2)
    assert (weight, best.recall) == (4, 0.6)


@pytest.mark.parametrize("cut", [1, 2, 3, 4, 5])
def test_a_training_that_is_cut_off_ends_with_the_same_weights_and_the_same_patience(tmp_path, cut):
    recalls = [0.5, 0.8, 0.7, 0.75, 0.6, 0.9]
    whole = run(tmp_path / "whole", recalls, patience=3)
    with pytest.raises(Cut):
        run(tmp_path / "cut", recalls, patience=3, cut=cut)
    again = run(tmp_path / "cut", recalls, patience=3)
    assert whole[0] == again[0] == 2
    assert whole[1].told() == again[1].told() and whole[1].epochs == again[1].epochs == 5


def test_a_training_that_had_stopped_early_and_was_then_cut_off_does_not_go_on(tmp_path):
    recalls = [0.5, 0.4, 0.9]
    with pytest.raises(Cut):
        run(tmp_path / "cut", recalls, patience=1, cut=1, late=True)
    weight, best, _ = run(tmp_path / "cut", recalls, patience=1)
    assert (weight, best.epochs, best.recall) == (1, 2, 0.5)


def test_what_is_kept_is_the_owners_alone(tmp_path):
    run(tmp_path / "w", [0.5])
    assert (tmp_path / "w" / "best").stat().st_mode & 0o777 == 0o700
