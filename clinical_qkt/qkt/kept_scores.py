"""What probes say of a model, kept between runs: a second query probes no teacher again.

Scores lie in the user's state folder, see ``core.state_folder``; they tell of a model and of no patient. They
are this machine's own: what a package says of its model's knowledge is never put there, and weights are told
apart by their digest as they are in memory.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from clinical_qkt.core.tensor_cache import digest_of_tensors, remembered
from clinical_qkt.core.version import __version__
from clinical_qkt.packages.model import CardedNetwork

PROBES = "probes"
"""In the state folder."""
VERSION = 1
"""Of probes and scores: another number wherever they change."""


def kept_scores(
    folder: Path, model: CardedNetwork, how: tuple[Any, ...], scored: Callable[[], Tensor]
) -> Tensor:
    """A model's scores ``(classes,)``, from an earlier run if it was probed in the same way.

    Args:
        how: statistic, count and seed of the probes, and the kind of device.
        scored: probes it.
    """
    weights, card = digest_of_tensors(model.network.state_dict()), model.card
    facts = [VERSION, __version__, torch.__version__, *how, weights]
    facts += [card.network.model_dump_json(), card.input.model_dump_json()]
    classes = len(card.label_space)

    def fits(scores: Tensor) -> bool:
        within = ((scores >= 0) & (scores <= 1)).all()
        return scores.shape == (classes,) and scores.dtype == torch.float32 and bool(within)

    return remembered(folder, json.dumps(facts), scored, fits)
