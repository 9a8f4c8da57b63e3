"""Which epoch's weights a training keeps: the last, or those that did best on validation images."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from ignite.handlers import Checkpoint, DiskSaver, EarlyStopping
from torch import nn

from clinical_qkt.core.files import private_folder

FOLDER = "best"
"""In the folder of a training's checkpoints."""
METRIC = "val_recall"


class Best:
    """A handler of a trainer that keeps the best weights and stops where nothing becomes better any more.

    ignite's ``Checkpoint`` and ``EarlyStopping``, with one state that ``handlers.Resume`` keeps: a training
    that is cut off goes on with the same best weights and the same patience. Of equal epochs the latest
    counts. Stands after what validates and before what keeps checkpoints.

    Args:
        validator: whose metric ``val_recall`` is looked at, mean recall over classes on validation images.
        network: that is trained; has the best weights once the training has ended.
        folder: of the training's checkpoints.
        keep: ``last``: this does nothing.
        patience: after how many looks without a higher recall the training ends; None: never.
        interval: epochs from look to look.
        what: named where it is told.
    """

    def __init__(
        self,
        validator: Engine,
        network: nn.Module,
        folder: str | Path,
        keep: str,
        patience: int | None,
        interval: int = 1,
        what: str = "train",
    ) -> None:
        self.validator, self.network, self.folder = validator, network, Path(folder) / FOLDER
        self.wanted, self.patience, self.interval, self.what = keep == "best", patience, interval, what
        self.checkpoint: Checkpoint | None = None
        self.stopping: EarlyStopping | None = None
        self.epoch, self.recall, self.epochs = 0, 0.0, 0

    def attach(self, engine: Engine) -> None:
        if not self.wanted:
            return
        private_folder(self.folder.parent)
        private_folder(self.folder)  # ignite lets everybody read what it writes
        disk = DiskSaver(str(self.folder), atomic=True, create_dir=True, require_empty=False)
        self.checkpoint = Checkpoint(
            {"network": self.network},
            disk,
            n_saved=1,
            score_function=self.score,
            score_name=METRIC,
            greater_or_equal=True,
            global_step_transform=lambda e, _: e.state.epoch,
        )
        looked = Events.EPOCH_COMPLETED(every=self.interval)
        engine.add_event_handler(looked, self.checkpoint)
        engine.add_event_handler(looked, self.note)
        if self.patience:
            self.stopping = EarlyStopping(self.patience, self.score, engine)
            engine.add_event_handler(looked, self.stopping)
            engine.add_event_handler(Events.EPOCH_STARTED, self.stop_again)
        engine.add_event_handler(Events.COMPLETED, self.restore)

    def score(self, engine: Engine) -> float:
        """Recall on validation images, as it was looked at last; from 0 to 1."""
        return float(self.validator.state.metrics[METRIC])

    def note(self, engine: Engine) -> None:
        """Which epoch is the best so far."""
        self.epochs = engine.state.epoch
        if (recall := self.score(engine)) >= self.recall or not self.epoch:
            self.epoch, self.recall = engine.state.epoch, recall

    def stop_again(self, engine: Engine) -> None:
        """A training that was cut off after it had ended early does not go on."""
        if self.stopping and self.stopping.counter >= self.stopping.patience:
            engine.terminate()

    def restore(self, engine: Engine) -> None:
        """Give the network the best weights, and say which they are."""
        if self.checkpoint is None or not self.epoch:  # no epoch was looked at
            return
        file = Path(str(self.checkpoint.last_checkpoint))
        device = next(self.network.parameters()).device
        self.network.load_state_dict(torch.load(file, map_location=device, weights_only=True))
        ended = f", ended after {self.epochs} epochs" if self.stopping else f" of {self.epochs}"
        told = f"recall on validation images {100 * self.recall:.1f}"
        print(f"{self.what}: kept the weights of epoch {self.epoch}{ended}: {told}", file=sys.stderr)

    def told(self) -> dict[str, float]:
        """For MLflow and the training's record; empty where the last weights are kept."""
        return {"best_epoch": float(self.epoch), "best_val_recall": self.recall} if self.epoch else {}

    def state_dict(self) -> dict[str, Any]:
        """All that a training needs to go on."""
        parts = {"checkpoint": self.checkpoint, "stopping": self.stopping}
        state = {name: dict(part.state_dict()) for name, part in parts.items() if part}
        return {**state, "epoch": self.epoch, "recall": self.recall, "epochs": self.epochs}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """What ``state_dict`` gave."""
        for name, part in (("checkpoint", self.checkpoint), ("stopping", self.stopping)):
            if part:
                part.load_state_dict(state[name])
        self.epoch, self.recall, self.epochs = state["epoch"], state["recall"], state["epochs"]
