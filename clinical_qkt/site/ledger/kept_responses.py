"""Exact statistics as the ledger keeps them, so that the same question gets the very same bytes again."""

from __future__ import annotations

from safetensors.torch import load, save

from clinical_qkt.privacy.statement import tens
from clinical_qkt.site.ledger.lines import Exact
from clinical_qkt.statistics.class_statistics import ClassStatistics


def packed(statistics: ClassStatistics) -> Exact:
    """Statistics in the precision in which they leave."""
    tensors = {"mean": statistics.mean.float().contiguous()}
    if statistics.covariance is not None:
        tensors["covariance"] = statistics.covariance.float().contiguous()
    return Exact(tens(statistics.count), save(tensors))


def unpacked(kept: Exact) -> ClassStatistics:
    """The statistics again; the count is what was told, 0 if that was nothing."""
    tensors = load(kept.content)
    spread = tensors.get("covariance")
    return ClassStatistics(
        kept.count or 0, tensors["mean"].double(), None if spread is None else spread.double()
    )
