"""Networks as cards describe them, and their heads.

A card names a MONAI network and gives literal arguments, both checked against the closed list in
``registry``: nothing from a package is imported by name or evaluated.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import lru_cache

import torch
from pydantic import Field, model_validator
from torch import nn

from clinical_qkt.core.errors import InputError, one_of
from clinical_qkt.core.values import Sent
from clinical_qkt.networks.registry import ALLOWED, PRESETS, Literal, preset_args, why_not
from clinical_qkt.tasks.single_label import SINGLE_LABEL


class NetworkSpec(Sent):
    """A network by name, with its arguments, but for the number of classes: those are the label space's."""

    name: str = Field(json_schema_extra={"enum": [*sorted(ALLOWED)]})
    """Of the closed list; the networks are MONAI's."""
    spatial_dims: int = Field(ge=2, le=3)
    """2 for pictures and slices, 3 for volumes."""
    in_channels: int = Field(ge=1, le=64)
    """Of the images that it takes."""
    args: dict[str, Literal] = Field(default={})
    """Those of MONAI's arguments that the closed list lets a card give: literals, or lists of eight at most,
    numbers from 0 to 4096."""

    @model_validator(mode="after")
    def _on_the_list(self) -> NetworkSpec:
        if self.name not in ALLOWED:
            raise ValueError(
                f"'{self.name}' is not on the list of networks; {one_of(self.name, sorted(ALLOWED))}"
            )
        problem = why_not(self.name, self.args)
        if problem:
            raise ValueError(problem)
        return self

    @property
    def early_depths(self) -> list[str]:
        """Its first stages by name; see ``extractor``."""
        return list(ALLOWED[self.name].depths)

    @property
    def stages(self) -> list[str]:
        """Its stages by name, from the first to the last that is pooled; see ``multihead``."""
        return [*self.early_depths, *ALLOWED[self.name].late]

    @property
    def tokens(self) -> bool:
        """Whether its stages give ``(B, places, channels)``, as transformers do."""
        return ALLOWED[self.name].tokens

    @property
    def blocks(self) -> int:
        """How deep it is; see ``registry``."""
        return ALLOWED[self.name].blocks(self.args)

    def build(self, classes: int) -> nn.Module:
        """The network with random weights and a head of ``classes`` rows.

        Raises:
            InputError: if MONAI refuses the arguments.
        """
        allowed = ALLOWED[self.name]
        given = {**self.args, **allowed.fixed, allowed.channels: self.in_channels, allowed.classes: classes}
        try:
            return allowed.make(spatial_dims=self.spatial_dims, **copy.deepcopy(given))
        except Exception as e:  # whatever MONAI says of arguments that another site chose
            raise InputError(
                f"{self.name} cannot be built: {e}", where="network", fix="check its arguments"
            ) from e


def preset(name: str, in_channels: int, spatial_size: Sequence[int]) -> NetworkSpec:
    """The network behind a short name such as ``resnet_small``, for images of a size.

    Raises:
        InputError: unknown name, or the network cannot take images of that size.
    """
    return _fitting(name, in_channels, tuple(spatial_size)).model_copy(deep=True)


@lru_cache(maxsize=256)
def _fitting(name: str, in_channels: int, spatial_size: tuple[int, ...]) -> NetworkSpec:
    """``preset``, tried once a process."""
    if name not in PRESETS:
        raise InputError(f"unknown network '{name}'", where="network", fix=one_of(name, list(PRESETS)))
    network, args = preset_args(name, spatial_size)
    try:
        spec = NetworkSpec(name=network, spatial_dims=len(spatial_size), in_channels=in_channels, args=args)
        with torch.no_grad(), torch.device("meta"):  # nothing is computed and no memory taken
            spec.build(2)(torch.zeros(2, in_channels, *spatial_size))
    except (RuntimeError, ValueError, InputError):
        size = "x".join(map(str, spatial_size))
        raise InputError(
            f"'{name}' cannot take images of {size}",
            where="architecture, spatial_size",
            fix="choose a size that it can take (see docs/reference/input-contract.md) or another network",
        ) from None
    return spec


def find_head(network: nn.Module) -> str:
    """The name of the last linear layer, which holds one row a class.

    Raises:
        InputError: if there is none.
    """
    linear = [name for name, module in network.named_modules() if isinstance(module, SINGLE_LABEL.head)]
    if not linear:
        raise InputError(
            "has no linear layer that could be its head", where="network", fix="use a classifier"
        )
    return linear[-1]


def linear_head(network: nn.Module) -> nn.Linear:
    """The layer that ``find_head`` names."""
    head = network.get_submodule(find_head(network))
    assert isinstance(head, SINGLE_LABEL.head)
    return head


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
    assert isinstance(old, SINGLE_LABEL.head)
    new = SINGLE_LABEL.head(old.in_features, classes, device=old.weight.device, dtype=old.weight.dtype)
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
