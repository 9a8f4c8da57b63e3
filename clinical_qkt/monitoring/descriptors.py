"""What is kept of an image: a few numbers of its look, and what the model sees in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from itertools import combinations

import torch
from torch import Tensor, nn

from clinical_qkt.networks.committee import Committee
from clinical_qkt.networks.gaussian_classifier import GaussianClassifier
from clinical_qkt.networks.hooks import watching
from clinical_qkt.networks.multihead import MultiHead
from clinical_qkt.networks.spec import find_head

COLOURS = ("red", "green", "blue")
MOST_CHANNELS = 4
"""Above that, how channels go together is left out."""


def look_names(channels: int) -> list[str]:
    """What the numbers of ``look`` are, in its order, in plain words.

    >>> look_names(1)
    ['brightness', 'contrast', 'sharpness']
    """
    names = {1: ["brightness"], 3: [f"brightness of {c}" for c in COLOURS]}.get(channels)
    each = names or [f"brightness of channel {c + 1}" for c in range(channels)]
    told = [
        name.replace("brightness", what) for what in ("brightness", "contrast", "sharpness") for name in each
    ]
    short = [name.partition(" of ")[2] for name in each]
    if 1 < channels <= MOST_CHANNELS:
        told += [f"{a} against {b}" for a, b in combinations(short, 2)]
    return told


def look(images: Tensor) -> Tensor:
    """Brightness, contrast and sharpness of each channel, and how channels go together.

    Args:
        images: ``(B, C, *places)``, prepared for the model.

    Returns:
        ``(B, L)`` float64: the mean and the logarithms of the standard deviation and of the mean step between
        neighbours, in units of the former; of up to ``MOST_CHANNELS`` channels the correlations of each two,
        by Fisher's transformation.
    """
    flat = images.flatten(2).double()
    spread = flat.std(2).clamp_min(1e-6)
    steps = [images.diff(dim=axis).abs().flatten(2).double().mean(2) for axis in range(2, images.ndim)]
    parts = [flat.mean(2), spread.log(), (torch.stack(steps).mean(0) / spread).clamp_min(1e-6).log()]
    channels = images.shape[1]
    if 1 < channels <= MOST_CHANNELS:
        z = (flat - flat.mean(2, keepdim=True)) / spread[..., None]
        pairs = [(z[:, a] * z[:, b]).mean(1) for a, b in combinations(range(channels), 2)]
        parts.append(torch.stack(pairs, 1).clamp(-0.9999, 0.9999).atanh())
    return torch.cat(parts, 1)


@contextmanager
def watched(network: nn.Module) -> Iterator[list[Tensor]]:
    """What arrives at a network's heads within it is added to the list: one ``(B, D)`` a head and batch."""
    caught: list[Tensor] = []
    with ExitStack() as parts:
        for part in _parts(network):
            parts.enter_context(_arriving(part, lambda seen: caught.append(seen.flatten(1).cpu())))
        yield caught


def _parts(network: nn.Module) -> list[nn.Module]:
    """The networks that see the image: of a committee its members, or the one whose body they share."""
    if isinstance(network, Committee):
        members = list(network.members)[: 1 if network.spec.one_body else None]
        return [part for member in members for part in _parts(member)]
    return [network]


def _arriving(network: nn.Module, keep: Callable[[Tensor], None]) -> AbstractContextManager[None]:
    if isinstance(network, GaussianClassifier):
        return watching(lambda _, __, gave: keep(gave[1]), network.extractor)
    head = network.heads if isinstance(network, MultiHead) else network.get_submodule(find_head(network))
    return watching(lambda _, given, __: keep(given[0]), head)
