"""The outcome of methods that end with a head on the extractor's features."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from clinical_qkt.research.methods.case import Case, Outcome
from clinical_qkt.research.methods.requested import Requested
from clinical_qkt.training.inference import Images


def of_features(
    case: Case, question: Requested, score: Callable[[Tensor], Tensor], used: int, received: int
) -> Outcome:
    """The outcome of a method that ends with something that looks at features.

    Args:
        score: from ``(N, D)`` features to ``(N, classes)``, columns as in ``Case.labels``.
        used: sites that answered.
        received: bytes.
    """

    @torch.no_grad()
    def predict(images: Images) -> Tensor:
        return score(question.seen(images, images, case.device)[1].double()).float()

    return Outcome(predict, used, received)
