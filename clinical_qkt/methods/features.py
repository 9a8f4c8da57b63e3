"""What methods share that end with a head on the extractor's features."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from clinical_qkt.asking import features_of
from clinical_qkt.methods.asked import Asked
from clinical_qkt.methods.case import Case, Outcome
from clinical_qkt.targets import Images


def of_features(
    case: Case, question: Asked, score: Callable[[Tensor], Tensor], used: int, received: int
) -> Outcome:
    """The outcome of a method that ends with something that looks at features.

    Args:
        score: from ``(N, D)`` features to ``(N, classes)``, columns as in ``Case.labels``.
        used: sites that answered.
        received: bytes.
    """

    @torch.no_grad()
    def predict(images: Images) -> Tensor:
        return score(features_of(question.extractor, images, case.device)).float()

    return Outcome(predict, used, received)


def trained(
    network: nn.Module,
    loss: Callable[[Tensor], Tensor],
    rows: int,
    seed: int,
    epochs: int,
    learning_rate: float,
    *,
    batch_size: int = 128,
    weight_decay: float = 0.05,
) -> None:
    """Train a small head in place.

    Args:
        loss: of the rows at these positions.
        rows: how many there are.
    """
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(network.parameters(), learning_rate, weight_decay=weight_decay)
    for _ in range(epochs):
        for batch in torch.randperm(rows, generator=generator).split(batch_size):
            value = loss(batch)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
