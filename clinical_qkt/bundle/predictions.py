"""What ``inference`` writes: a table with one line an image."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events

from clinical_qkt.bundle import endings
from clinical_qkt.core.files import write_text
from clinical_qkt.core.rows import Rows
from clinical_qkt.core.spreadsheets import harmless
from clinical_qkt.data.label_space import LabelSpace
from clinical_qkt.evidence.gate import Door
from clinical_qkt.evidence.pictures import numbers_of
from clinical_qkt.tasks.single_label import SINGLE_LABEL

NONE_OF_THESE = "none_of_these"
"""The column that says whether an image looks like no class: yes or no."""


class PredictionWriter:
    """Handler of the bundle's ``inference``: a CSV with one line an image.

    Args:
        door: the model's gate; without one nothing is said about images of no class.
    """

    def __init__(self, path: Path, files: list[str], labels: LabelSpace, door: Door | None = None) -> None:
        self.path, self.files, self.labels, self.door = path, files, labels, door
        self.logits, self.numbers = Rows(len(files)), Rows(len(files))

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.collect)
        engine.add_event_handler(Events.COMPLETED, self.write)

    def collect(self, engine: Engine) -> None:
        output: Any = engine.state.output
        self.logits.add(output["pred"].float())
        if self.door:
            numbers = numbers_of(torch.as_tensor(output["image"]).float().cpu())
            self.numbers.add(torch.from_numpy(numbers))

    def write(self, engine: Engine) -> None:
        logits = self.logits.all()
        probabilities = SINGLE_LABEL.probabilities(logits).numpy()
        called = [self.labels[int(i)].name for i in SINGLE_LABEL.decide(probabilities)]
        refused = self.refused(logits.numpy())
        gate = [] if refused is None else [["yes" if r else "no"] for r in refused]
        text = io.StringIO()
        lines = csv.writer(text)
        heads = [] if refused is None else [NONE_OF_THESE]
        lines.writerow(["file", "class", *heads, *(f"probability of {n}" for n in self.labels.names)])
        for i, (file, row) in enumerate(zip(self.files, probabilities, strict=True)):
            names = map(harmless, (file, called[i]))
            lines.writerow([*names, *(gate[i] if gate else ()), *(f"{p:.4f}" for p in row)])
        write_text(self.path, text.getvalue(), private=True)
        endings.predicted(called, self.path, refused)

    def refused(self, logits: Any) -> list[bool] | None:
        """Of each image, whether it gets 'none of these'; None without a gate."""
        if self.door is None:
            return None
        found: list[bool] = self.door.refused(logits, self.numbers.all().numpy()).tolist()
        return found
