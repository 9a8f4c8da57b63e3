"""A feature extractor: a network of the closed list, the depths that are pooled, and a linear map.

The features of an image are, for each named depth, mean and spread of every channel over the image, on
average over the image's mirrored and turned views; then centred and mapped so that the student's own classes
vary by one along each axis. It is what a student sends to ask for statistics, and what the classifier made of
the answers computes at inference.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated, Any

import torch
from pydantic import Field, field_validator, model_validator
from torch import Tensor, nn

from clinical_qkt.core.errors import InputError
from clinical_qkt.core.values import Sent
from clinical_qkt.data.inputs import InputContract
from clinical_qkt.networks.hooks import watching
from clinical_qkt.networks.pooled import mean_and_spread
from clinical_qkt.networks.spec import NetworkSpec
from clinical_qkt.networks.views import views

MAX_FEATURES = 4096


class _Enough(Exception):
    """All that is pooled has been seen."""


class Pooling(nn.Module):
    """A network that also gives what is pooled of some of its stages."""

    def __init__(self, spec: PoolingSpec, network: nn.Module) -> None:
        super().__init__()
        self.spec, self.network = spec, network
        self._written_over: bool | None = None

    def pooled(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """``(B, channels, *spatial_size)`` to logits ``(B, classes)`` and numbers ``(B, pooled)``."""
        logits, numbers = self._pass(image, stop=False)
        assert logits is not None
        return logits, numbers

    def numbers(self, image: Tensor) -> Tensor:
        """The same numbers alone: the network's later stages are not run.

        Unless one of these writes over what is pooled, as a rectifier in place does: that is found out once.
        Nor while the network is exported: what is recorded has to run to its end.
        """
        return self._pass(image, stop=self._written_over is False and not torch.compiler.is_compiling())[1]

    def in_all_views(self, image: Tensor) -> Tensor:
        """As ``numbers``; of a network with views their mean over these."""
        return self.numbers(image)

    def _pass(self, image: Tensor, *, stop: bool) -> tuple[Tensor | None, Tensor]:
        caught: dict[str, Tensor] = {}
        then: list[int] = []  # how often each had been written to when the last was there
        logits: Tensor | None = None

        names = {self.network.get_submodule(name): name for name in self.spec.depths}

        def keep(module: nn.Module, _: tuple[Any, ...], output: Tensor) -> None:
            caught[names[module]] = output
            if len(caught) == len(names):
                if stop:
                    raise _Enough
                then[:] = [seen._version for seen in caught.values()]

        with suppress(_Enough), watching(keep, *names):
            logits = self.network(image)
        if not stop:
            self._written_over = then != [seen._version for seen in caught.values()]
        tokens = self.spec.network.tokens
        return logits, torch.cat([_mean_and_spread(caught[d], tokens) for d in self.spec.depths], 1)


class Extractor(Pooling):
    """From images to the network's logits and the features.

    Buffers: ``center`` ``(pooled,)``, ``projection`` ``(pooled, features)``.
    """

    spec: ExtractorSpec
    center: Tensor
    projection: Tensor

    def __init__(self, spec: ExtractorSpec, network: nn.Module) -> None:
        super().__init__(spec, network)
        self.register_buffer("center", torch.zeros(spec.pooled))
        self.register_buffer("projection", torch.eye(spec.pooled, spec.features))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """``(B, channels, *spatial_size)`` to logits ``(B, classes)`` and features ``(B, features)``.

        The map is computed in the buffers' precision: float64 after ``extractor.double_map()``.
        """
        logits, pooled = self.pooled(image)
        return logits, (pooled.to(self.center.dtype) - self.center) @ self.projection

    def pooled(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """As ``Pooling.pooled``, but the numbers are the mean over the image's views."""
        logits, numbers = super().pooled(image)
        others = views(image, self.spec.mirror_axes)[1:]
        for view in others:
            numbers = numbers + self.numbers(view)
        return logits, numbers / (1 + len(others))

    def in_all_views(self, image: Tensor) -> Tensor:
        first, *others = (self.numbers(view) for view in views(image, self.spec.mirror_axes))
        return sum(others, first) / (1 + len(others))

    def features(self, image: Tensor) -> Tensor:
        """The features that ``forward`` gives, to the last bit; without later stages, see ``numbers``."""
        return (self.in_all_views(image).to(self.center.dtype) - self.center) @ self.projection

    def double_map(self) -> Extractor:
        """Centre and map in float64, for statistics; in place."""
        self.center, self.projection = self.center.double(), self.projection.double()
        return self


class PoolingSpec(Sent):
    """A network and the stages of it that are pooled, as a card describes them."""

    network: NetworkSpec
    """From the closed list."""
    depths: list[Annotated[str, Field(max_length=200)]] = Field(min_length=1, max_length=16)
    """Names of its modules whose output is ``(B, channels, …)``."""
    pooled: int = Field(ge=1, le=MAX_FEATURES)
    """How many numbers they come to."""

    @field_validator("depths", mode="after")
    @classmethod
    def _each_once(cls, depths: list[str]) -> list[str]:
        if len(set(depths)) < len(depths):
            raise ValueError("a depth is named twice")
        return depths

    def build_network(self, classes: int) -> nn.Module:
        """The network with random weights and a head of ``classes`` rows.

        Raises:
            InputError: the network has no such depths.
        """
        network = self.network.build(classes)
        modules = dict(network.named_modules())
        strange = [d for d in self.depths if d not in modules or d == ""]
        if strange:
            raise InputError(
                f"{self.network.name} has no module '{strange[0]}'",
                where="depths",
                fix=f"name modules such as {', '.join(self.network.early_depths)}",
            )
        return network


class ExtractorSpec(PoolingSpec):
    """An extractor as a card describes it."""

    features: int = Field(ge=1, le=MAX_FEATURES)
    """How many numbers are left after the map."""
    mirror_axes: list[Annotated[int, Field(ge=0, le=2)]] = Field(default=[], max_length=3)
    """Axes along which a mirrored image still shows its class: what is pooled is the mean over all views of
    an image that are mirrored along some of them; over all eight views of a square picture that may be
    mirrored along both. Empty: the image as it is."""

    @model_validator(mode="after")
    def _fewer(self) -> ExtractorSpec:
        if self.features > self.pooled:
            raise ValueError("features: the map cannot make more numbers than are pooled")
        if len(set(self.mirror_axes)) < len(self.mirror_axes):
            raise ValueError("mirror_axes: an axis is named twice")
        return self

    def build(self, classes: int) -> Extractor:
        """The extractor with random weights, its network with a head of ``classes`` rows.

        Raises:
            InputError: the network has no such depths.
        """
        return Extractor(self, self.build_network(classes))


def describe(network: nn.Module, spec: NetworkSpec, depths: list[str], given: InputContract) -> ExtractorSpec:
    """The spec of an extractor made of a network, with as many features as are pooled of an empty image.

    Raises:
        InputError: a depth is not there, or its output has no channels and places, or too many.
    """
    counted = PoolingSpec(network=spec, depths=depths, pooled=1)
    counted.build_network(1)  # names the depth that is not there
    device = next(network.parameters()).device
    image = torch.zeros(1, given.channels, *given.spatial_size, device=device)
    with torch.no_grad():
        _, seen = Pooling(counted, network.eval()).pooled(image)
    pooled = seen.shape[1]
    if pooled > MAX_FEATURES:
        raise InputError(
            f"{', '.join(depths)} come to {pooled:,} numbers, more than {MAX_FEATURES:,}",
            where="depths",
            fix="name fewer stages, or earlier ones",
        )
    return ExtractorSpec(network=spec, depths=depths, pooled=pooled, features=pooled)


def _mean_and_spread(output: Tensor, tokens: bool) -> Tensor:
    """``(B, C, *places)``, or ``(B, places, C)`` of a transformer, to ``(B, 2 C)``."""
    if output.ndim < 3:
        raise InputError(
            f"gives {tuple(output.shape[1:])} numbers, not channels with places",
            where="depths",
            fix="name a convolutional stage of the network",
        )
    return mean_and_spread(output.float().transpose(1, 2) if tokens else output.float().flatten(2))
