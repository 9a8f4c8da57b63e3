"""What a network needs in memory, measured without taking any: on the "meta" device nothing is computed."""

from __future__ import annotations

import math
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from pydantic import BaseModel
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from clinical_qkt.core.files import digest_of

Step = Callable[[Tensor], Any]
"""What is done with ``(B, channels, *spatial_size)``."""
_KNOWN: dict[tuple[Any, ...], int] = {}
"""What was measured, by everything that decides it: networks of one make need the same."""
_MOST_KNOWN = 1000


class Footprint:
    """The bytes that are alive at most while a network looks at a batch, its weights left out.

    Args:
        network: on whatever device; it stays as it is, and hooks of others are not called.
        shape: ``(channels, *spatial_size)`` of an image.
        most: images of a full batch.
        step: a method of the network, if it is not called itself.
        training: with gradients, and the way back.
    """

    def __init__(
        self,
        network: nn.Module,
        shape: Sequence[int],
        most: int,
        step: Step | None = None,
        training: bool = False,
    ) -> None:
        self.network, self.shape, self.most = network, tuple(shape), most
        self.step, self.training = step, training
        self.least = 2 if training else 1  # batch norm wants two
        self._make = _make(network)

    def __call__(self, images: int) -> int:
        """For so many images, ``most`` at most.

        A peak is the highest of several, each of which grows evenly with the batch: so between a single image
        and a full batch it is no higher than the straight line.
        """
        if images >= self.most:
            return self._measured(self.most)
        first = self._measured(self.least)
        rise = (self._measured(self.most) - first) / max(1, self.most - self.least)
        return first + math.ceil(rise * max(0, images - self.least))

    def _measured(self, images: int) -> int:
        key = (self._make, images, self.shape, getattr(self.step, "__name__", None), self.training)
        if key not in _KNOWN:
            while len(_KNOWN) >= _MOST_KNOWN:
                del _KNOWN[next(iter(_KNOWN))]
            _KNOWN[key] = self._tried(images)
        return _KNOWN[key]

    def _tried(self, images: int) -> int:
        stepping = _Stepping(self.network, self.step)
        if self.training:
            return _peak(stepping, (images, *self.shape), grad=True)
        with _at_rest(self.network):
            try:
                return _peak(stepping, (images, *self.shape), grad=False)
            except Exception:  # a network of somebody's own, with tensors that are no weights: one real image
                with torch.no_grad(), Alive() as alive:
                    stepping(torch.zeros(1, *self.shape, device=_device(self.network)))
                return alive.most * images


class _Stepping(nn.Module):
    """A network called by one of its methods."""

    def __init__(self, network: nn.Module, step: Step | None) -> None:
        super().__init__()
        self.network, self._step = network, None if isinstance(step, nn.Module) else step

    def forward(self, images: Tensor) -> Any:
        return (self._step or self.network)(images)


def _peak(network: nn.Module, shape: Sequence[int], grad: bool) -> int:
    weights = [*network.named_parameters(), *network.named_buffers()]
    empty = {
        k: torch.empty_like(w, device="meta").requires_grad_(grad and w.requires_grad) for k, w in weights
    }
    with torch.set_grad_enabled(grad), Alive() as alive:
        said = functional_call(network, empty, (torch.empty(*shape, device="meta"),))
        if grad:
            torch.stack([t.sum() for t in tree_leaves(said) if isinstance(t, Tensor)]).sum().backward()
    return alive.most


class Alive(TorchDispatchMode):
    """Counts the bytes of all tensors that are made within it, as long as somebody holds them."""

    def __init__(self) -> None:
        super().__init__()
        self.now, self.most = 0, 0
        self._sizes: dict[int, int] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor):
                self._see(tensor.untyped_storage())
        return made

    def _see(self, storage: torch.UntypedStorage) -> None:
        place = storage._cdata
        if place not in self._sizes:
            self._sizes[place] = storage.nbytes()
            self.now += storage.nbytes()
            self.most = max(self.most, self.now)
            weakref.finalize(storage, self._drop, place)

    def _drop(self, place: int) -> None:
        self.now -= self._sizes.pop(place, 0)


@contextmanager
def _at_rest(network: nn.Module) -> Iterator[None]:
    """Evaluated, and without the hooks that are there, whose owners want to see real images."""
    names = ("training", "_forward_hooks", "_forward_pre_hooks")
    kept = [(module, name, getattr(module, name)) for module in network.modules() for name in names]
    try:
        for module, name, _ in kept:
            setattr(module, name, False if name == "training" else OrderedDict())
        yield
    finally:
        for module, name, value in kept:
            setattr(module, name, value)


def _make(network: nn.Module) -> str:
    """A digest of a network's modules with their plain attributes, and of the shapes of its weights."""
    plain = (bool, int, float, str, tuple, BaseModel)
    modules = [
        (name, type(m), [(k, v) for k, v in vars(m).items() if isinstance(v, plain) and k != "training"])
        for name, m in network.named_modules()
    ]
    weights = [
        (name, w.shape, w.dtype, w.requires_grad)
        for name, w in (*network.named_parameters(), *network.named_buffers())
    ]
    return digest_of(repr((modules, weights)))


def _device(network: nn.Module) -> torch.device:
    return next((w.device for w in network.parameters()), torch.device("cpu"))
