"""Models of simulated sites that tell on their cards how their training images look, as the product's do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from clinical_qkt.data.look_shared import looks_of, spread_of
from clinical_qkt.packages.looks import SentLooks
from clinical_qkt.packages.model import Model
from clinical_qkt.query.looks import FEWEST, numbers_of


def telling(model: Model, training: Sequence[dict[str, Any]]) -> Model:
    """A model whose card tells it, in memory alone: what was saved earlier stays as it is.

    Args:
        training: the site's images as the model sees them, labels as on its card.
    """
    card = model.card
    numbers, classes = numbers_of(training, card.input), [card.labels[int(i["label"])].name for i in training]
    found, spread = looks_of(numbers, classes), spread_of(numbers, classes)
    looks = SentLooks.of(found, spread, card.label_space, card.input, FEWEST)
    return replace(model, card=card.model_copy(update={"looks": looks}))
