"""A classifier whose head is made of class statistics: a network of the closed list below it, unchanged.

Kept in a model folder like any other network.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import torch
from pydantic import Discriminator, Field, Tag, model_validator
from torch import Tensor, nn

from clinical_qkt.core.values import Sent
from clinical_qkt.networks.extractor import Extractor, ExtractorSpec
from clinical_qkt.networks.multihead import MultiHeadSpec
from clinical_qkt.networks.spec import NetworkSpec
from clinical_qkt.statistics.gaussian_heads import Gaussians

MAX_GAUSSIANS = 512


class GaussianClassifier(nn.Module):
    """The student's own network and, for what it never saw, Gaussians in its feature space.

    Whether an image shows an own or a queried class is left to the Gaussians; which of the own classes it
    shows, to the network and the Gaussians in equal parts. With ``replay`` an ordinary linear head on the
    features decides instead.

    Args:
        spec: what it consists of.
        extractor: its network has one row an own class.
        classes: rows of the head: the own classes, then those that were answered for.
    """

    mean: Tensor
    whitening: Tensor
    log_volume: Tensor
    temperature: Tensor

    def __init__(self, spec: GaussianSpec, extractor: Extractor, classes: int) -> None:
        super().__init__()
        self.spec, self.extractor = spec, extractor
        k, d = spec.gaussians, spec.extractor.features
        if spec.head == "gaussian":
            self.register_buffer("mean", torch.zeros(k, d))
            self.register_buffer("whitening", torch.eye(d).repeat(1 if spec.shared else k, 1, 1))
            self.register_buffer("log_volume", torch.zeros(k))
            self.register_buffer("temperature", torch.ones(()))
        self.head = nn.Linear(k if spec.head == "gaussian" else d, classes)
        if spec.head == "gaussian":
            with torch.no_grad():
                self.head.weight.copy_(torch.eye(classes, k))
                self.head.bias.zero_()

    def forward(self, image: Tensor) -> Tensor:
        """``(B, channels, *spatial_size)`` to ``(B, classes)`` logits."""
        return self.said(*self.extractor(image))

    def said(self, own: Tensor, features: Tensor) -> Tensor:
        """From its network's logits ``(B, own)`` and the features ``(B, D)`` to ``(B, classes)`` logits."""
        if self.spec.head == "replay":
            return self.head(features)
        density = Gaussians(self.mean, self.whitening, self.log_volume).log_density(features)
        said = (density / self.temperature).log_softmax(1)
        local = said[:, : self.spec.own]
        within = (own.softmax(1) + local.softmax(1)) / 2
        known = local.logsumexp(1, keepdim=True) + within.clamp_min(1e-12).log()
        return self.head(torch.cat([known, said[:, self.spec.own :]], 1))


class GaussianSpec(Sent):
    """A ``GaussianClassifier`` as a card describes it; the counterpart of ``spec.NetworkSpec``."""

    name: Literal["GaussianClassifier"] = "GaussianClassifier"
    """What tells it from a network of the closed list."""
    extractor: ExtractorSpec
    """The network below the head, and its features."""
    own: int = Field(ge=1, le=MAX_GAUSSIANS)
    """Classes that its network knows; they come first."""
    gaussians: int = Field(ge=1, le=MAX_GAUSSIANS)
    """Classes in all."""
    shared: bool = False
    """Whether they share one covariance."""
    head: Literal["gaussian", "replay"] = "gaussian"
    """``gaussian``, or ``replay``: an ordinary linear head on the features."""

    @model_validator(mode="after")
    def _within(self) -> GaussianSpec:
        if self.own > self.gaussians:
            raise ValueError("own: there are fewer Gaussians than own classes")
        return self

    @property
    def blocks(self) -> int:
        """How deep its network is; see ``registry``."""
        return self.extractor.network.blocks

    def build(self, classes: int) -> GaussianClassifier:
        """The classifier with random weights and a head of ``classes`` rows.

        Raises:
            InputError: if MONAI refuses the network's arguments.
        """
        return GaussianClassifier(self, self.extractor.build(self.own), classes)


def kind_of_network(value: Any) -> str:
    """Which spec a card means: told by the network's name alone, before anything else is looked at."""
    name = value.get("name") if isinstance(value, dict) else getattr(value, "name", None)
    kinds = {"Committee": "committee", "GaussianClassifier": "gaussian", "MultiHead": "multihead"}
    return kinds.get(name, "network") if isinstance(name, str) else "network"


SingleNetwork = Annotated[
    Annotated[NetworkSpec, Tag("network")]
    | Annotated[GaussianSpec, Tag("gaussian")]
    | Annotated[MultiHeadSpec, Tag("multihead")],
    Discriminator(kind_of_network),
]
"""What can sit in a committee."""
