"""A part of a network is trained; the rest stays as it is, statistics of batch norm and dropout included."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from clinical_qkt.core.terms import TrainedLayers
from clinical_qkt.networks.spec import NetworkSpec, find_head


def train_only(network: nn.Module, spec: NetworkSpec, layers: TrainedLayers) -> nn.Module:
    """The same network, of which a training changes some layers alone; in place.

    The frozen ones ask for no gradient and compute as in evaluation, whenever the network is called:
    MONAI's trainer sets all of a network to training before each step.

    Args:
        network: as ``spec`` builds it.
        layers: ``all``; ``last``: what follows the early stages that the registry names, see
            ``NetworkSpec.early_depths``; ``head``: the last linear layer.
    """
    if layers == "all":
        return network
    trained = _after(network, spec.early_depths) if layers == "last" else [find_head(network)]
    for name, weight in network.named_parameters():
        weight.requires_grad_(_within(name, trained))
    frozen = [module for name, module in network.named_modules() if not _within(name, trained)]
    network.register_forward_pre_hook(Frozen(frozen))
    return network


class Frozen:
    """A hook before a network's pass: these modules compute as in evaluation, and what is in them does not.

    Args:
        modules: each by itself; what they hold is not meant unless it is named, too.
    """

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        self.modules = modules

    def __call__(self, network: nn.Module, inputs: Any) -> None:
        for module in self.modules:
            module.training = False


def _after(network: nn.Module, early: Sequence[str]) -> list[str]:
    """The names of all modules that come after the early stages, as the network lists them."""
    names = [name for name, _ in network.named_modules()]
    last = max(names.index(name) for name in early)
    later = [n for n in names[last + 1 :] if not _within(n, early)]
    return [n for n in later if not any(_within(other, [n]) for other in early)]


def _within(name: str, modules: Sequence[str]) -> bool:
    return any(name == module or name.startswith(f"{module}.") for module in modules)
