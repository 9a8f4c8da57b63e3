"""A model as other programs get it: raw intensities in, logits out."""

from __future__ import annotations

import copy

from torch import Tensor, nn

from clinical_qkt.data.inputs import InputContract
from clinical_qkt.packages.model import CardedNetwork


class FromRaw(nn.Module):
    """A network with its input contract's arithmetic inside, so that nobody can forget it.

    Looks, clipping, value range, mean and deviation are computed here; size and spacing are not: images come
    in the contract's ``spatial_size``.

    Args:
        network: any of those that cards name.
        contract: of its images.
    """

    def __init__(self, network: nn.Module, contract: InputContract) -> None:
        super().__init__()
        self.network, self.contract = network, contract

    def forward(self, image: Tensor) -> Tensor:
        """``(B, channels, *spatial_size)`` raw intensities to ``(B, classes)`` logits."""
        return self.network(self.contract.values(image))


def from_raw(model: CardedNetwork) -> FromRaw:
    """Of a model in a folder, or of one that lies in none yet; a copy, ready for inference."""
    return FromRaw(copy.deepcopy(model.network).cpu(), model.card.input).eval()
