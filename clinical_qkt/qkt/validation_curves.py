"""After each epoch of a transfer: what is retained, and what is called queried, on validation images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from ignite.engine import Engine, Events
from torch import Tensor

from clinical_qkt.tasks.single_label import SINGLE_LABEL
from clinical_qkt.training.inference import Images, labels_of, logits_of


class ValidationCurves:
    """After each epoch of a transfer, on own validation images: what is kept, and what is called queried.

    Puts ``val/retained_recall``, ``val/false_alarms`` (the share called a queried class) and
    ``val/query_evidence`` (the mean probability that is given to the queried classes) into
    ``engine.state.metrics``.

    Args:
        validation: ``{"image", "label"}``, none of a queried class.
        local, query: the columns of the local and of the queried classes.
    """

    def __init__(
        self, validation: Images, local: Sequence[int], query: Sequence[int], device: torch.device
    ) -> None:
        self.validation, self.local, self.device = validation, list(local), device
        self.query = torch.tensor(list(query))
        self.labels = labels_of(validation)

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        network: Any = engine.network  # type: ignore[attr-defined]
        logits = logits_of(network, self.validation, self.device)
        network.train()
        engine.state.metrics["val/retained_recall"] = retained_recall(logits, self.labels, self.local)
        engine.state.metrics["val/false_alarms"] = float(
            torch.isin(SINGLE_LABEL.decide(logits), self.query).float().mean()
        )
        queried = SINGLE_LABEL.probabilities(logits)[:, self.query].sum(1)
        engine.state.metrics["val/query_evidence"] = float(queried.mean())


def retained_recall(logits: Tensor, labels: Tensor, local: Sequence[int]) -> float:
    """Macro-averaged recall over the local classes that occur, as a share.

    >>> logits = torch.tensor([[2.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 2.0, 0.0]])
    >>> retained_recall(logits, torch.tensor([0, 0, 1]), local=[0, 1, 2])
    0.75
    """
    right = SINGLE_LABEL.decide(logits) == labels
    of_class = [mine.float().mean() for mine in SINGLE_LABEL.by_class(right, labels, local)]
    return float(torch.stack(of_class).nanmean())
