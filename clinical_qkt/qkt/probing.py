"""Which classes a teacher knows: its model asked about probes, once for all models that have one body."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from clinical_qkt.networks.one_body import with_head_inputs
from clinical_qkt.networks.spec import linear_head
from clinical_qkt.qkt import knowledge_masks
from clinical_qkt.qkt.kept_scores import kept_scores
from clinical_qkt.qkt.one_body import body_of
from clinical_qkt.qkt.teachers import AlignedModel, Teacher


def probe(
    aligned: AlignedModel,
    *,
    seed: int,
    device: torch.device,
    threshold: float = knowledge_masks.THRESHOLD,
    statistic: knowledge_masks.Statistic = "peak",
    count: int = 2048,
    kept: Path | None = None,
    at_heads: dict[str, Tensor] | None = None,
) -> Teacher:
    """Find out with ``count`` probes which classes a model knows, see ``knowledge_masks``.

    Args:
        kept: a folder of scores from earlier runs, see ``kept_scores``.
        at_heads: what arrives at the heads of bodies that were shown the same probes before, by ``body_of``;
            another is put there.
    """
    model, expects = aligned.model, aligned.model.card.input
    shape = expects.channels, expects.spatial_size, *expects.value_range

    def of_probes(see: knowledge_masks.See) -> Tensor:
        how: dict[str, Any] = {"normalise": expects.normalised, "where": f"package of {aligned.site}"}
        how |= {"count": count, "seed": seed, "device": device}
        return knowledge_masks.of_probes(model.network, see, *shape, **how)

    @torch.no_grad()
    def scored() -> Tensor:
        body = None if at_heads is None else body_of(model)
        if at_heads is None or body is None:
            return knowledge_masks.scores_of(of_probes(model.network), statistic)
        if body not in at_heads:
            at_heads[body] = of_probes(lambda images: with_head_inputs(model.network, images)[1])
        head = linear_head(model.network)
        return knowledge_masks.scores_of(head(at_heads[body].to(head.weight.device)).cpu(), statistic)

    how = statistic, count, seed, device.type
    scores = kept_scores(kept, model, how, scored) if kept else scored()
    known = knowledge_masks.knowledge_mask(scores, threshold).tolist()
    return Teacher(model, aligned.columns, scores, known)
