"""The student's own model as it is: by itself it never names a queried class."""

from __future__ import annotations

import torch
from torch import Tensor

from clinical_qkt.core.values import Strict
from clinical_qkt.research.methods.case import Case, Outcome
from clinical_qkt.research.methods.registry import method
from clinical_qkt.training.inference import Images

NEVER = -30.0
"""The queried classes' logit. A forgetting budget may lift it: then "queried" is said of whatever no own
class claims with a high logit, which is novelty detection and what can be had without any transfer."""


class Settings(Strict):
    """There is nothing to choose."""


@method("local", family="bound")
def run(case: Case, settings: Settings) -> Outcome:
    """The lower bound of query recall and of forgetting."""

    def predict(images: Images) -> Tensor:
        return never(case.said(case.own.network, images))

    def never(logits: Tensor) -> Tensor:
        return torch.cat([logits, torch.full((len(logits), len(case.query)), NEVER)], 1)

    by_fold = None if case.own_held_out is None else never(case.own_held_out)
    return Outcome(predict, 0, 0, cross_fitted=by_fold)
