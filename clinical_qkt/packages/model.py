"""Models in folders: a site's own and the teacher packages that it shares, which have the same form."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from clinical_qkt.core.errors import InputError
from clinical_qkt.networks.hooks import watching
from clinical_qkt.networks.spec import find_head
from clinical_qkt.packages.card import Card, Precision
from clinical_qkt.packages.reader import RESEND, Reading
from clinical_qkt.packages.signing import Signed, Trust
from clinical_qkt.packages.writer import is_package, write_package

LARGEST_OUTPUT = 2**28
"""Numbers that a layer may give for one image: 1 GiB in single precision."""
_MODEST: set[tuple[object, ...]] = set()
"""What was found modest, by all that decides it."""
_MOST_MODEST = 1000


@dataclass(frozen=True, eq=False)
class CardedNetwork:
    """A network with its card, ready for use."""

    network: nn.Module
    card: Card


@dataclass(frozen=True, eq=False)
class Model(CardedNetwork):
    """One that lies in a folder, verified; ``bytes`` is the size of all its files."""

    folder: Path
    bytes: int
    signed: Signed = field(default_factory=Signed)


def save_model(
    folder: Path,
    network: nn.Module,
    card: Card,
    *,
    signing_key: Path | None = None,
    agree: Callable[[Path, Card], None] | None = None,
    record: Iterable[Path] = (),
) -> Card:
    """Write a model folder, in the precision that the card says; see ``writer.write_package``."""
    card = card.model_copy(update={name: Card.model_fields[name].default for name in ("format", "software")})
    state = stored(network.state_dict(), card.precision)
    return write_package(
        folder, card, state, check=_read, signing_key=signing_key, agree=agree, record=record
    )


def stored(state: Mapping[str, Tensor], precision: Precision) -> dict[str, Tensor]:
    """Tensors as a file holds them: with ``float16`` those of single precision take half the bytes."""
    half = precision == "float16"
    return {k: v.half() if half and v.dtype == torch.float32 else v for k, v in state.items()}


def in_precision(model: Model, precision: Precision) -> Model:
    """A copy of a model as whoever receives it in this precision will have it.

    Raises:
        InputError: a weight is too large for it.
    """
    network = copy.deepcopy(model.network)
    state = stored(network.state_dict(), precision)
    if not all(v.isfinite().all() for v in state.values() if v.is_floating_point()):
        raise InputError(
            "a weight is larger than 65504, the most that half precision can hold",
            where="precision",
            fix="share the model with 'precision: float32'",
        )
    network.load_state_dict(state)
    return replace(model, network=network, card=model.card.model_copy(update={"precision": precision}))


def is_model(folder: Path) -> bool:
    """Whether the folder holds a whole model (its digests are not checked)."""
    return is_package(folder, Card)


def load_model(folder: str | Path, trust: Trust | None = None) -> Model:
    """Load a model after checking it from the outside in, see ``reader``.

    Args:
        trust: whose packages this site takes; None: signatures are not looked at.

    Raises:
        PackageError: the package is refused; nothing of it is used.
    """
    reading, network, state = _read(folder, trust)
    assert reading.card is not None
    return Model(filled(network, state), reading.card, Path(folder), reading.bytes, reading.signed)


def _read(
    folder: str | Path, trust: Trust | None = None
) -> tuple[Reading[Card], nn.Module, dict[str, Tensor]]:
    """A package, its network on the "meta" device and its tensors."""
    reading = Reading(folder, Card, trust)
    network = reading.build(_network)
    precision = reading.card.precision if reading.card else "float32"
    state = reading.tensors(stored(network.state_dict(), precision) if network else None)
    assert network is not None
    return reading, network, state


def filled(network: nn.Module, state: dict[str, Tensor]) -> nn.Module:
    """A network from the "meta" device with a package's tensors, in memory of its own."""
    network.to_empty(device="cpu").load_state_dict(state)
    return network


def _network(card: Card) -> nn.Module:
    """The card's network, tried on an image as the card asks for them: all on the "meta" device.

    Raises:
        InputError: it cannot take such images, gives something else, needs too much memory or has another
            head.
    """
    network = card.network.build(len(card.label_space)).eval()
    head = find_head(network)
    if card.head != head:
        raise InputError(
            f"the head is '{card.head}', but the network's is '{head}'", where="head", fix=RESEND
        )
    _require_modest(card, network)
    return network


def _require_modest(card: Card, network: nn.Module) -> None:
    """``require_modest``, once a process for all that decides it."""
    size, classes = card.input.spatial_size, len(card.label_space)
    key = (card.network.model_dump_json(), card.input.channels, *size, classes)
    if key not in _MODEST:
        require_modest(network, card.input.channels, size, (classes,))
        if len(_MODEST) >= _MOST_MODEST:
            _MODEST.clear()
        _MODEST.add(key)


@torch.no_grad()
def require_modest(
    network: nn.Module, channels: int, spatial_size: list[int], gives: tuple[int, ...] | None = None
) -> None:
    """Run a network without memory or work, to see what it would need and give.

    Args:
        network: on the "meta" device.
        gives: the shape of its output for one image.

    Raises:
        InputError: it cannot take such images, gives something else, or needs too much memory.
    """
    largest = 0

    def see(_: nn.Module, __: object, output: object) -> None:
        nonlocal largest
        if isinstance(output, Tensor):
            largest = max(largest, output.numel())

    try:
        with watching(see, *network.modules()):
            said = network(torch.empty(1, channels, *spatial_size, device="meta"))
    except Exception:  # whatever a network says that was built from another site's arguments
        said = None
    fix = "ask the sending site"
    if largest > LARGEST_OUTPUT:
        raise InputError("the network needs too much memory for an image", where="network", fix=fix)
    if said is None or (gives is not None and tuple(said.shape) != (1, *gives)):
        raise InputError(
            "the network cannot take the images that the card asks for", where="network", fix=fix
        )
