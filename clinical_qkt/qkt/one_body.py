"""Models that differ in their heads alone: hospitals that froze one pretrained network have such.

Their bodies see an image in the same way, so what arrives at the heads is computed once for all of them.
"""

from __future__ import annotations

from collections.abc import Sequence

from clinical_qkt.core.tensor_cache import digest_of_tensors
from clinical_qkt.networks.one_body import body, same_body
from clinical_qkt.networks.spec import NetworkSpec
from clinical_qkt.packages.model import CardedNetwork


def one_body(models: Sequence[CardedNetwork]) -> bool:
    """Whether two and more are one network of the closed list, given the same images, but for their heads."""
    kinds = {
        (type(m.network), m.card.network.model_dump_json(), m.card.input.model_dump_json()) for m in models
    }
    single = all(isinstance(m.card.network, NetworkSpec) for m in models)
    return len(models) > 1 and single and len(kinds) == 1 and same_body([m.network for m in models])


def body_of(model: CardedNetwork) -> str | None:
    """What tells models with one body, given the same images, from all others; None of one that is no network
    of the closed list."""
    card = model.card
    if not isinstance(card.network, NetworkSpec):
        return None
    weights = digest_of_tensors(body(model.network))
    return f"{card.network.model_dump_json()} {card.input.model_dump_json()} {weights}"
