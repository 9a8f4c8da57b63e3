"""What other programs call the layers of the networks of the closed list, whose names here are MONAI's."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

CALLED = (
    # EfficientNet-PyTorch, from which MONAI's comes, numbers blocks without their stage
    (re.compile(r"^_blocks\.\d+\.(\d+\.)"), r"_blocks.\1"),
    # torchvision: the same layers without the Sequential around them, and another head
    (re.compile(r"(\.denselayer\d+)\.layers\."), r"\1."),
    (re.compile(r"^class_layers\.out\."), "classifier."),
)
"""From a name here to the name there."""
NOTHING = (re.compile(r"\.downsample\.0\.bias$"), re.compile(r"\.num_batches_tracked$"))
"""Tensors that other programs' layers lack, and that are nothing as zeros: MONAI's ResNet has a bias before a
batch norm where He et al. and torchvision have none, and a count of batches is used by no layer here."""
WRAPPED = ("state_dict", "model_state_dict", "model", "network")
"""Under which keys a checkpoint has the weights beside other things."""
PARALLEL = "module."
"""What torch puts before names of a network that was trained on several devices."""


def renamed(
    tensors: Mapping[str, Tensor], needed: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], dict[str, str], list[str]]:
    """Tensors under the names of a network here; what fits none keeps its own name.

    Args:
        tensors: as a file calls them.
        needed: as the network does.

    Returns:
        The tensors; of those that were renamed ``{name here: name there}``; and what was added as zeros.

    >>> layer = torch.ones(2)
    >>> found, names, added = renamed({"_blocks.3._bn0.bias": layer}, {"_blocks.2.3._bn0.bias": layer})
    >>> list(found), names, added
    (['_blocks.2.3._bn0.bias'], {'_blocks.2.3._bn0.bias': '_blocks.3._bn0.bias'}, [])
    """
    names = {name: _there(name, tensors) for name in needed}
    taken = {name: tensors[there] for name, there in names.items() if there is not None}
    used = set(names.values())
    rest = {name: tensor for name, tensor in tensors.items() if name not in used}
    lacking = [n for n, there in names.items() if there is None and any(p.search(n) for p in NOTHING)]
    zeros = {name: torch.zeros(needed[name].shape, dtype=needed[name].dtype) for name in lacking}
    changed = {n: there for n, there in names.items() if there is not None and there != n}
    return {**taken, **zeros, **rest}, changed, lacking


def unwrapped(content: Mapping[str, object]) -> Mapping[str, object]:
    """The weights of a checkpoint that has other things beside them, under the network's own names."""
    inner = next((content[key] for key in WRAPPED if isinstance(content.get(key), Mapping)), content)
    assert isinstance(inner, Mapping)
    parallel = bool(inner) and all(str(name).startswith(PARALLEL) for name in inner)
    return {str(name)[len(PARALLEL) if parallel else 0 :]: value for name, value in inner.items()}


def _there(name: str, tensors: Mapping[str, Tensor]) -> str | None:
    """What a file calls a tensor of the network; None if it has none such."""
    return next((there for there in _names(name) if there in tensors), None)


def _names(name: str) -> Iterable[str]:
    yield name
    for pattern, there in CALLED:
        name = pattern.sub(there, name)
        yield name
