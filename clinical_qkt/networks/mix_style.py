"""MixStyle: a network in training sees each image's early features in the style of another of its batch.

Zhou et al., "Domain Generalization with MixStyle", ICLR 2021 (arXiv 2104.02008).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from clinical_qkt.networks.spec import NetworkSpec

PROBABILITY, ALPHA, TINY = 0.5, 0.1, 1e-6
"""The paper's: how often a batch is mixed at all, the shape of Beta(ALPHA, ALPHA), and what keeps a spread
from being nothing."""
STAGES = 2


def mix_styles(network: nn.Module, spec: NetworkSpec) -> nn.Module:
    """The same network, which mixes styles after two early stages while it is trained, and never else.

    Weights, and what a card says of the network, stay as they are.

    Args:
        network: as ``spec`` builds it; changed in place.
    """
    for name in spec.early_depths[-STAGES:]:
        network.get_submodule(name).register_forward_hook(MixStyle(spec.tokens))
    return network


def mixes_images(network: nn.Module) -> bool:
    """Whether a network in training mixes styles, so that what it makes of an image depends on others."""
    return any(isinstance(hook, MixStyle) for m in network.modules() for hook in m._forward_hooks.values())


class MixStyle:
    """A forward hook: mean and spread of each channel become a mixture of an image's own and another's.

    Args:
        tokens: the stage gives ``(B, places, channels)`` and not ``(B, channels, *places)``.
    """

    def __init__(self, tokens: bool = False) -> None:
        self.tokens = tokens

    def __call__(self, module: nn.Module, _: Any, features: Tensor) -> Tensor | None:
        if not module.training or float(torch.rand(())) >= PROBABILITY:
            return None
        weights = torch.distributions.Beta(ALPHA, ALPHA).sample((len(features),))
        return mixed(features, weights, torch.randperm(len(features)), tokens=self.tokens)


def mixed(features: Tensor, weights: Tensor, others: Tensor, *, tokens: bool = False) -> Tensor:
    """Each image's features with its style mixed with that of another; no gradient passes through styles.

    Args:
        features: ``(B, channels, *places)``, of tokens ``(B, places, channels)``.
        weights: ``(B,)`` from 0 to 1, of the image's own style.
        others: ``(B,)`` positions of the other images.

    >>> features = torch.tensor([[[1.0, 3.0]], [[10.0, 14.0]]])
    >>> mixed(features, torch.tensor([1.0, 0.0]), torch.tensor([1, 0])).squeeze(1).round(decimals=3).tolist()
    [[1.0, 3.0], [1.0, 3.0]]
    """
    places = [1] if tokens else list(range(2, features.ndim))
    mean = features.mean(places, keepdim=True).detach()
    spread = (features.var(places, correction=0, keepdim=True) + TINY).sqrt().detach()
    own, others = weights.to(features).view(-1, *[1] * (features.ndim - 1)), others.to(features.device)
    new_mean, new_spread = (own * s + (1 - own) * s[others] for s in (mean, spread))
    return (features - mean) / spread * new_spread + new_mean
