"""A bar counts images and says how many a second; what takes a moment has none."""

from __future__ import annotations

import io
from contextlib import redirect_stderr

import pytest
import torch
from torch import nn

from clinical_qkt.core.progress import FEW, bar
from clinical_qkt.training.inference import logits_of
from clinical_qkt.training.loop import train


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("images", "shown"), [(FEW, True), (FEW - 1, False)])
def test_a_bar_is_for_whoever_watches_and_for_many_images(images, shown):
    with redirect_stderr(Terminal()) as terminal, bar(images, "logits") as told:
        told.update(images)
    assert ("logits:" in terminal.getvalue() and "images/s" in terminal.getvalue()) == shown


def test_a_network_over_images_and_a_training_tell_images_and_not_batches():
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    items = [{"image": torch.zeros(1, 2, 2), "label": 0}] * FEW
    with redirect_stderr(Terminal()) as terminal:
        logits_of(network, items, torch.device("cpu"), batch_size=100)
    assert f"/{FEW} " in terminal.getvalue() and "images/s" in terminal.getvalue()
    how = {"max_epochs": 1, "learning_rate": 0.1, "batch_size": 100, "seed": 0, "what": "heads"}
    with redirect_stderr(Terminal()) as terminal:
        train(network, items, [], lambda z, _: z.sum(), device=torch.device("cpu"), **how)
    assert f"/{FEW}]" in terminal.getvalue() and "images/s" in terminal.getvalue()
