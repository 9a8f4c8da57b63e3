"""Weights of ``torch.save`` as the safetensors file that a site's training can start from."""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from clinical_qkt.core.errors import InputError, OutputError
from clinical_qkt.core.files import write_whole
from clinical_qkt.networks.spec import preset
from clinical_qkt.packages.tensor_table import NOTES
from clinical_qkt.packages.weights_file import WeightsFile, read_weights
from clinical_qkt.packages.weights_names import renamed, unwrapped

SIDES = {4: [224, 224], 5: [96, 96, 96]}
"""By the dimensions of a convolution's weights: of the images for which a network is built to be compared."""


@dataclass(frozen=True, eq=False)
class Converted:
    """What came of a file.

    Attributes:
        weights: as the new file gives them back.
        names: of tensors that are called otherwise now, ``{name here: name there}``.
        added: tensors that the file's network does not have, as zeros.
    """

    weights: WeightsFile
    names: dict[str, str]
    added: list[str]


def convert(source: Path, out: Path, network: str, notes: Mapping[str, str]) -> Converted:
    """Write a safetensors file of a file of ``torch.save``.

    Args:
        source: opened with ``weights_only=True``: tensors and plain values, and no code.
        out: must not be there.
        network: the short name of the network that the weights are of.
        notes: ``name``, ``source``, ``licence`` and ``normalisation``, as far as they are known.

    Raises:
        InputError: the file cannot be read, holds something else, or does not fit the network.
        OutputError: there is a file already.
    """
    if out.exists():
        raise OutputError("is there already", where=str(out), fix="name a file that is not there")
    if out.suffix != ".safetensors":
        raise InputError("is no safetensors file", where=str(out), fix="let its name end in .safetensors")
    tensors = _read(source)
    built = _network(network, tensors, source)
    found, names, added = renamed(tensors, built.state_dict())
    written: list[WeightsFile] = []

    def write(part: Path) -> None:
        save_file(found, part, {k: v for k, v in notes.items() if v})
        in_order(part)
        written.append(_checked(part, built, source))

    write_whole(out, write)
    return Converted(written[0], names, added)


def in_order(path: Path) -> None:
    """Put a safetensors file's notes into the order of their names: the same content is the same file.

    The library writes them in an order that changes from run to run.
    """
    raw = path.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    table = json.loads(raw[8 : 8 + length])
    if NOTES in table:
        table[NOTES] = dict(sorted(table[NOTES].items()))
    text = json.dumps(table, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + raw[8 + length :])


def _read(source: Path) -> dict[str, Tensor]:
    """
    Raises:
        InputError: the file is none of ``torch.save``, or holds more than weights.
    """
    if not source.is_file():
        raise InputError("there is no such file", where=str(source), fix="name a file of torch.save")
    try:
        content = torch.load(source, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as e:
        raise InputError(
            f"holds more than tensors and plain values, and may run code: it is not opened ({_first(e)})",
            where=str(source),
            fix="have whoever made it save the weights alone: torch.save(network.state_dict(), FILE)",
        ) from None
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as e:
        raise InputError(
            f"is no whole file of torch.save ({_first(e)})", where=str(source), fix="copy or fetch it again"
        ) from None
    tensors = unwrapped(content) if isinstance(content, Mapping) else {}
    strange = [name for name, value in tensors.items() if not isinstance(value, Tensor)]
    if not tensors or strange:
        what = f"'{strange[0][:100]}' is no tensor" if strange else "there are no named tensors"
        raise InputError(
            f"holds no network's weights: {what}",
            where=str(source),
            fix="save the weights alone: torch.save(network.state_dict(), FILE)",
        )
    return {name: _plain(value) for name, value in tensors.items() if isinstance(value, Tensor)}


def _plain(value: Tensor) -> Tensor:
    """In memory of its own, in single precision: tensors of a file may share theirs."""
    return (value.float() if value.is_floating_point() else value).detach().contiguous().clone()


def _first(error: Exception) -> str:
    return str(error).strip().split("\n")[0][:200] or type(error).__name__


def _network(name: str, tensors: Mapping[str, Tensor], source: Path) -> nn.Module:
    """The network on the "meta" device, for as many channels and classes as the file has.

    Raises:
        InputError: unknown name; or nothing in the file tells channels or classes.
    """
    first = next((t for t in tensors.values() if t.ndim in SIDES), None)
    last = next((t for t in reversed(list(tensors.values())) if t.ndim == 2), None)
    if first is None or last is None:
        raise InputError(
            "has no convolution or no linear layer, as every network of the list has",
            where=str(source),
            fix="convert the whole network's weights, its head included",
        )
    spec = preset(name, first.shape[1], SIDES[first.ndim])
    with torch.device("meta"):
        return spec.build(last.shape[0])


def _checked(part: Path, network: nn.Module, source: Path) -> WeightsFile:
    """The new file, as a training will read it."""
    try:
        return read_weights(part, network)
    except InputError as e:
        fix = (
            "name the network that they are of with --network; names are MONAI's, torchvision's or lukemelas'"
        )
        raise InputError(e.problem, where=str(source), fix=fix) from None


def told(found: Converted, out: Path) -> list[str]:
    """What was done, a line each."""
    weights, about = found.weights, found.weights.about
    lines = [f"{out}: {about.told}", f"  {len(weights.tensors)} tensors, a head of {weights.classes} classes"]
    if found.names:
        here, there = next(iter(found.names.items()))
        lines.append(f"  renamed: {len(found.names)}, such as {there} to {here}")
    if found.added:
        lines.append(f"  added as zeros, which changes nothing: {len(found.added)}, such as {found.added[0]}")
    unknown = [key for key in ("name", "source", "licence") if getattr(about, key) == "unknown"]
    if unknown:
        lines.append(f"  note: unknown: {', '.join(unknown)}; the card of every model will say so")
    return lines
