"""A second head beside a network's own, for targets that the first has no class for."""

from __future__ import annotations

from torch import Tensor, nn

from clinical_qkt.networks.hooks import watching
from clinical_qkt.networks.spec import find_head


class SecondHead(nn.Module):
    """A network that gives, while it is trained, its logits and what another head makes of its features.

    The features are what arrives at its own head. Evaluated, it is the network alone.
    """

    def __init__(self, network: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.network, self.second = network, second

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        if not self.training:
            return self.network(images)
        caught: list[Tensor] = []
        head = self.network.get_submodule(find_head(self.network))
        with watching(lambda _, inputs, __: caught.append(inputs[0]), head):
            logits = self.network(images)
        return logits, self.second(caught[0])
