"""Models in folders: a site's own and the teacher packages that it shares, which have the same form."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from clinical_qkt.errors import InputError, PackageError
from clinical_qkt.packages.card import Card
from clinical_qkt.packages.folder import (
    CARD,
    RESEND,
    is_package,
    package_bytes,
    read_card,
    read_tensors,
    write_package,
)


@dataclass
class Model:
    """A network with its card, ready for use."""

    network: nn.Module
    card: Card
    folder: Path
    bytes: int


def save_model(folder: Path, network: nn.Module, card: Card) -> Card:
    """Write a model folder; see ``folder.write_package``."""
    return write_package(folder, card, network.state_dict())


def is_model(folder: Path) -> bool:
    """Whether the folder holds a whole model (its digests are not checked)."""
    return is_package(folder, Card)


def load_model(folder: str | Path) -> Model:
    """Load a model after checking it from the outside in: files, digests, card, tensors, values.

    Raises:
        PackageError: the package is refused; nothing of it is used.
    """
    folder = Path(folder)
    card = read_card(folder, Card)
    try:
        network = card.network.build(len(card.label_space))
    except InputError as e:
        raise PackageError(e.problem, where=str(folder / CARD), fix=RESEND) from None
    shapes = {name: list(tensor.shape) for name, tensor in network.state_dict().items()}
    network.load_state_dict(read_tensors(folder / card.TENSORS, shapes))
    _require_fit(network.eval(), card, folder)
    return Model(network, card, folder, package_bytes(folder))


@torch.no_grad()
def _require_fit(network: nn.Module, card: Card, folder: Path) -> None:
    """Refuse a card whose network cannot take the images that it asks for, or gives something else."""
    try:
        said = network(torch.zeros(1, card.input.channels, *card.input.spatial_size))
    except (RuntimeError, ValueError):
        said = torch.empty(0)
    if said.shape != (1, len(card.label_space)):
        raise PackageError(
            "the network cannot take the images that the card asks for",
            where=str(folder / CARD),
            fix=RESEND,
        )
