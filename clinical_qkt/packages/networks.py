"""The closed list of networks that a card may name, and their heads.

A card names a MONAI network and gives literal arguments, both checked against this list: nothing from a
package is imported by name or evaluated.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from monai.networks import nets
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import nn

from clinical_qkt.errors import InputError, one_of

Literal = bool | int | float | str | list[int]


class _Allowed(BaseModel):
    """A network's arguments: which take the channels and the classes, and which others may be given.

    ``depths`` are its early stages, from whose outputs statistics are computed unless others are named.
    """

    channels: str
    classes: str
    depths: tuple[str, ...]
    others: frozenset[str]
    fixed: dict[str, Any] = {}


ALLOWED: dict[str, _Allowed] = {
    "ResNet": _Allowed(
        channels="n_input_channels",
        classes="num_classes",
        depths=("bn1", "layer1", "layer2"),
        others=frozenset(
            {"block", "layers", "block_inplanes", "conv1_t_size", "conv1_t_stride", "no_max_pool"}
        ),
    ),
    "DenseNet121": _Allowed(
        channels="in_channels",
        classes="out_channels",
        depths=("features.norm0", "features.transition1", "features.transition2"),
        others=frozenset({"norm"}),
    ),
    "EfficientNetBN": _Allowed(
        channels="in_channels",
        classes="num_classes",
        depths=("_bn0", "_blocks.1", "_blocks.2"),
        others=frozenset({"model_name"}),
        fixed={"pretrained": False},  # pretrained weights would be downloaded
    ),
    "SEResNet50": _Allowed(
        channels="in_channels",
        classes="num_classes",
        depths=("layer0", "layer1", "layer2"),
        others=frozenset(),
    ),
}

_STEM: dict[str, Literal] = {"block": "basic", "conv1_t_size": 3, "conv1_t_stride": 1}
PRESETS: dict[str, tuple[str, dict[str, Literal]]] = {
    # 0.31 M parameters; for pictures of 28 to 64 pixels
    "resnet_small": (
        "ResNet",
        {**_STEM, "layers": [1, 1, 1, 1], "block_inplanes": [16, 32, 64, 128], "no_max_pool": True},
    ),
    "resnet18": (
        "ResNet",
        {**_STEM, "layers": [2, 2, 2, 2], "block_inplanes": [64, 128, 256, 512], "no_max_pool": True},
    ),
    # its pooling needs at least 32 pixels a side
    "densenet121": ("DenseNet121", {}),
}


class NetworkSpec(BaseModel):
    """A network by name, with its arguments, but for the number of classes: those are the label space's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    spatial_dims: int = Field(ge=2, le=3)
    in_channels: int = Field(ge=1, le=64)
    args: dict[str, Literal] = {}

    @model_validator(mode="after")
    def _on_the_list(self) -> NetworkSpec:
        if self.name not in ALLOWED:
            raise ValueError(
                f"'{self.name}' is not on the list of networks; {one_of(self.name, sorted(ALLOWED))}"
            )
        strange = sorted(set(self.args) - ALLOWED[self.name].others)
        if strange:
            raise ValueError(f"{self.name} takes no argument '{strange[0]}' here")
        for key, value in self.args.items():
            sizes = value if isinstance(value, list) else [value]
            if len(sizes) > 8 or any(isinstance(v, int | float) and not 0 <= v <= 4096 for v in sizes):
                raise ValueError(f"argument '{key}' of {self.name} is out of range")
        return self

    @property
    def early_depths(self) -> list[str]:
        """Its first stages by name; see ``extractor``."""
        return list(ALLOWED[self.name].depths)

    def build(self, classes: int) -> nn.Module:
        """The network with random weights and a head of ``classes`` rows.

        Raises:
            InputError: if MONAI refuses the arguments.
        """
        allowed = ALLOWED[self.name]
        given = {**self.args, **allowed.fixed, allowed.channels: self.in_channels, allowed.classes: classes}
        try:
            return getattr(nets, self.name)(spatial_dims=self.spatial_dims, **copy.deepcopy(given))
        except (TypeError, ValueError, KeyError) as e:
            raise InputError(
                f"{self.name} cannot be built: {e}", where="network", fix="check its arguments"
            ) from e


def preset(name: str, in_channels: int, spatial_dims: int = 2) -> NetworkSpec:
    """The network behind a short name such as ``resnet_small``.

    Raises:
        InputError: unknown name.
    """
    if name not in PRESETS:
        raise InputError(f"unknown network '{name}'", where="network", fix=one_of(name, list(PRESETS)))
    network, args = PRESETS[name]
    return NetworkSpec(name=network, spatial_dims=spatial_dims, in_channels=in_channels, args=args)


def find_head(network: nn.Module) -> str:
    """The name of the last linear layer, which holds one row a class.

    Raises:
        InputError: if there is none.
    """
    linear = [name for name, module in network.named_modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise InputError(
            "has no linear layer that could be its head", where="network", fix="use a classifier"
        )
    return linear[-1]


def reshape_head(network: nn.Module, rows: dict[int, int], classes: int) -> nn.Module:
    """A copy of a network whose head has ``classes`` rows, some taken over from the old head.

    Args:
        network: a classifier.
        rows: ``{new row: old row}``; every other new row starts at zero, which makes it neutral.
        classes: rows of the new head.
    """
    grown = copy.deepcopy(network)
    name = find_head(grown)
    old = grown.get_submodule(name)
    assert isinstance(old, nn.Linear)
    new = nn.Linear(old.in_features, classes, device=old.weight.device, dtype=old.weight.dtype)
    with torch.no_grad():
        new.weight.zero_()
        new.bias.zero_()
        for to, source in rows.items():
            new.weight[to] = old.weight[source]
            if old.bias is not None:
                new.bias[to] = old.bias[source]
    parent, _, leaf = name.rpartition(".")
    setattr(grown.get_submodule(parent), leaf, new)
    return grown
