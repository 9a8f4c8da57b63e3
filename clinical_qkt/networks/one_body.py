"""Networks that differ in their heads alone, as where hospitals train the head of one pretrained network.

What arrives at their heads is the same, so an image need be seen once for all of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from clinical_qkt.networks.hooks import watching
from clinical_qkt.networks.spec import find_head, linear_head


def same_body(networks: Sequence[nn.Module]) -> bool:
    """Whether all have the same weights but for those of their heads.

    Args:
        networks: of the closed list, with equal arguments but for the number of classes.
    """
    first, *others = (body(network) for network in networks)
    return all(
        first.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in first.items())
        for other in others
    )


def body(network: nn.Module) -> dict[str, Tensor]:
    """A network's weights and statistics without its head's."""
    head = f"{find_head(network)}."
    return {name: value for name, value in network.state_dict().items() if not name.startswith(head)}


def with_head_inputs(network: nn.Module, image: Tensor) -> tuple[Tensor, Tensor]:
    """Logits ``(B, classes)``, and what arrives at the head, ``(B, features)``: another head on it gives what
    another network with this body gives.

    Args:
        network: of the closed list: nothing follows its head.
        image: ``(B, channels, *spatial_size)``.
    """
    seen: list[Tensor] = []
    with watching(lambda _, given, __: seen.append(given[0]), linear_head(network)):
        logits = network(image)
    return logits, seen[0]
