"""MONAI's residual network without batch norm: no layer mixes the images of a batch."""

from __future__ import annotations

from typing import Any

from monai.networks.layers import get_norm_layer
from monai.networks.nets import ResNet
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

ENDS = ("bn2", "bn3")
"""The norms whose output a block adds its input to."""


class ResNetOfNorm(ResNet):
    """MONAI's ResNet with a norm of choice everywhere: its own argument reaches the stem and not the blocks.

    No layer writes over its input, and each image's gradient can be told from the others', as differential
    privacy needs it.

    Args:
        norm: as ``monai.networks.layers.get_norm_layer`` takes it.
        args: of MONAI's.
    """

    def __init__(self, *, norm: tuple[str, dict[str, Any]], spatial_dims: int, **args: Any) -> None:
        super().__init__(spatial_dims=spatial_dims, **args)
        for parent in list(self.modules()):
            for name, layer in list(parent.named_children()):
                if isinstance(layer, _BatchNorm):
                    other = get_norm_layer(norm, spatial_dims, layer.num_features)
                    setattr(parent, name, Copied(other) if name in ENDS else other)
                elif isinstance(layer, nn.ReLU):
                    setattr(parent, name, nn.ReLU())


class Copied(nn.Sequential):
    """What its layer gives, in memory of its own: MONAI's blocks write over it, and opacus watches it."""

    def forward(self, x: Tensor) -> Tensor:
        """``(B, channels, *places)`` to the same."""
        return super().forward(x).clone()
