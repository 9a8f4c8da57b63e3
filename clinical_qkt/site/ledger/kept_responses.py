"""Exact statistics as the ledger keeps them, so that the same question gets the very same bytes again."""

from __future__ import annotations

import torch
from safetensors.torch import load, save

from clinical_qkt.packages.told_look import LookNumbers, ToldLook
from clinical_qkt.privacy.statement import tens
from clinical_qkt.site.ledger.lines import Exact
from clinical_qkt.statistics.class_statistics import ClassStatistics

_LOOK = "look"


def packed(
    statistics: ClassStatistics, look: ToldLook | None = None, numbers: LookNumbers | None = None
) -> Exact:
    """Statistics, and what is told of looks, in the precision in which they leave."""
    tensors = {"mean": statistics.mean.float().contiguous()}
    if statistics.covariance is not None:
        tensors["covariance"] = statistics.covariance.float().contiguous()
    if look is not None:
        tensors[_LOOK] = torch.tensor(list(look.model_dump_json().encode()), dtype=torch.uint8)
    if numbers is not None and numbers.residual is not None:
        tensors["residual"] = numbers.residual.float().contiguous()
    return Exact(tens(statistics.count), save(tensors))


def unpacked(kept: Exact) -> ClassStatistics:
    """The statistics again; the count is what was told, 0 if that was nothing."""
    tensors = load(kept.content)
    spread = tensors.get("covariance")
    return ClassStatistics(
        kept.count or 0, tensors["mean"].double(), None if spread is None else spread.double()
    )


def unpacked_look(kept: Exact) -> tuple[ToldLook | None, LookNumbers]:
    """What was told of looks; None if it was nothing."""
    tensors = load(kept.content)
    if _LOOK not in tensors:
        return None, LookNumbers()
    told = ToldLook.model_validate_json(bytes(tensors[_LOOK].tolist()))
    return told, LookNumbers(tensors.get("residual"))
