"""A file of pretrained weights, checked from the outside in: safetensors, names, shapes, numbers.

Nothing of it is unpickled or evaluated. It fits a network to the letter, but for one thing: a head of another
number of classes, or that reads other features, is left out, and the network's own starts anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn

from clinical_qkt.core.errors import InputError
from clinical_qkt.core.terms import TrainedLayers
from clinical_qkt.data.inputs import InputContract
from clinical_qkt.networks.spec import find_head
from clinical_qkt.packages import plain_json
from clinical_qkt.packages.normalisation import Normalisation
from clinical_qkt.packages.pretrained import PretrainedWeights, notes_of
from clinical_qkt.packages.reader import MAX_TENSOR_BYTES, MOST_TOLD
from clinical_qkt.packages.tensor_table import MAX_HEADER_BYTES, read_noted

NORMALISATION = "normalisation"
"""The note that tells how images are to be normalised, as JSON."""
PICKLES = (b"PK", b"\x80")
"""How files of ``torch.save`` begin: zip archives, and pickles of old. As the length of a table, with which a
safetensors file begins, the same bytes would be far too large."""
_TYPES = {torch.float32: "F32", torch.int64: "I64"}
_CONVERT = "convert it with `clinical-qkt weights convert IN.pth OUT.safetensors --network NAME`"

Table = Mapping[str, tuple[list[int], str]]


@dataclass(frozen=True, eq=False)
class WeightsFile:
    """Weights that fit a network.

    Attributes:
        about: what the file says of itself, for the card.
        tensors: what is taken of it, by name.
        new: the head's tensors, where the file's head is another.
        classes: rows of the file's head.
        normalisation: what it expects of images; None where it does not say.
    """

    path: Path
    about: PretrainedWeights
    tensors: dict[str, Tensor]
    new: list[str]
    classes: int
    normalisation: Normalisation | None

    def into(self, network: nn.Module) -> nn.Module:
        """The network with these weights, in place; its head as it was if the file's is another."""
        here = network.state_dict()
        network.load_state_dict({**{name: here[name] for name in self.new}, **self.tensors})
        return network

    def facts(self) -> dict[str, Any]:
        """What was taken from where, as plain data."""
        about = self.about.model_dump(mode="json") | {"file": self.path.name, "classes": self.classes}
        known = self.normalisation and self.normalisation.model_dump(mode="json")
        return about | {"normalisation": known, "taken": sorted(self.tensors), "new": self.new}

    def told(self, given: InputContract) -> list[str]:
        """The same for whoever trains, a line each."""
        head = f"the head is taken, too, of {self.classes} classes"
        if self.new:
            head = f"new: {', '.join(self.new)} (the file's head is for {self.classes} classes)"
        lines = [f"pretrained weights: {self.about.told}", f"  taken: {len(self.tensors)} tensors; {head}"]
        if self.normalisation is None:
            return [*lines, "  how images are to be normalised for them is unknown"]
        wanted = self.normalisation.wanted(given)
        if wanted is None:
            return [*lines, "  images are normalised as the weights expect it"]
        return [*lines, f"  note: they expect other values; write input: {wanted} into the site's YAML"]


def read_weights(path: Path, network: nn.Module, trained_layers: TrainedLayers = "all") -> WeightsFile:
    """Read a file of pretrained weights.

    Args:
        network: that is to start from them, on the "meta" device.
        trained_layers: for the card.

    Raises:
        InputError: it is no such file, does not fit the network, or holds numbers that no network has.
    """
    table, notes = _opened(path)
    needed, head = network.state_dict(), find_head(network)
    new = _other_head(table, needed, head, getattr(network, "reads_stages", False))
    found = list(_misfits(table, {name: v for name, v in needed.items() if name not in new}, new))
    if found:
        raise InputError(_listed(found), where=str(path), fix=_fix(table, needed))
    raw = path.read_bytes()
    about = _about(path, notes, hashlib.sha256(raw).hexdigest(), trained_layers)
    tensors = {name: v for name, v in _loaded(path, raw).items() if name not in new}
    classes = table[f"{head}.weight"][0][0]
    return WeightsFile(path, about, tensors, new, classes, _normalisation(path, notes))


def require_there(path: Path) -> Path:
    """
    Raises:
        InputError: there is no such file.
    """
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "there is no such file"
        raise InputError(
            what,
            where=f"pretrained: {path}",
            fix="name a .safetensors file, or take 'pretrained' out; `clinical-qkt weights` makes one",
        )
    return path


def _opened(path: Path) -> tuple[Table, dict[str, str]]:
    require_there(path)
    with path.open("rb") as f:
        start = f.read(8)
        if int.from_bytes(start, "little") > MAX_HEADER_BYTES and start.startswith(PICKLES):
            raise InputError(
                "is a pickle, as torch.save writes them: opening one can run any program",
                where=str(path),
                fix=_CONVERT,
            )
    if path.stat().st_size > MAX_TENSOR_BYTES:
        raise InputError(
            f"is larger than {MAX_TENSOR_BYTES:,} bytes", where=str(path), fix="name a smaller network's"
        )
    try:
        return read_noted(path)
    except ValueError as e:
        raise InputError(
            f"is not a whole safetensors file ({e})", where=str(path), fix=f"copy it again, or {_CONVERT}"
        ) from None


def _other_head(table: Table, needed: Mapping[str, Tensor], head: str, reads_stages: bool) -> list[str]:
    """The head's tensors, if they differ in their number of rows and in nothing else.

    Args:
        reads_stages: the head reads other features than that of the weights, so its columns differ, too.
    """
    names = [name for name in (f"{head}.weight", f"{head}.bias") if name in needed]
    if any(name not in table for name in names):
        return []
    pairs = [(table[name][0], list(needed[name].shape)) for name in names]
    rows = {there[0] for there, _ in pairs if there}
    alike = all(len(a) == len(b) and (reads_stages or a[1:] == b[1:]) for a, b in pairs) and len(rows) == 1
    differ = [there != here for there, here in pairs]
    return names if alike and (any(differ) if reads_stages else all(differ)) else []


def _misfits(table: Table, needed: Mapping[str, Tensor], new: list[str]) -> Iterator[str]:
    for name in sorted(set(needed) - set(table)):
        yield f"tensor '{name}' is missing"
    for name in sorted(set(table) - set(needed) - set(new)):
        yield f"tensor '{name[:100]}' does not belong to the network"
    for name in sorted(set(needed) & set(table)):
        (shape, kind), wanted = table[name], needed[name]
        if shape != list(wanted.shape):
            yield f"tensor '{name}' has shape {shape}, {list(wanted.shape)} is needed"
        elif kind != _TYPES.get(wanted.dtype):
            yield f"tensor '{name}' has numbers of type {kind}, {_TYPES.get(wanted.dtype)} is needed"


def _listed(found: list[str]) -> str:
    more = [f"… and {len(found) - MOST_TOLD} more"] if len(found) > MOST_TOLD else []
    told = "".join(f"\n  {what}" for what in [*found[:MOST_TOLD], *more])
    return f"these weights do not fit the network:{told}"


def _fix(table: Table, needed: Mapping[str, Tensor]) -> str:
    """What helps: images with as many channels as the weights know, or another network."""
    first = next(iter(needed))
    there, here = table.get(first, ([], ""))[0], list(needed[first].shape)
    if len(there) == len(here) > 2 and there[1] != here[1] and [there[0], *there[2:]] == [here[0], *here[2:]]:
        return (
            f"the weights are for images with {there[1]} channels, the site's have {here[1]}: convert the "
            f"images and set 'channels: {there[1]}' (grey repeated in each), or take other weights"
        )
    return f"set 'architecture' to the network that they are of, take other weights, or {_CONVERT}"


def _loaded(path: Path, raw: bytes) -> dict[str, Tensor]:
    try:
        tensors = load(raw)
    except SafetensorError as e:
        raise InputError(f"cannot be read ({e})", where=str(path), fix="copy it again") from None
    for name, value in tensors.items():
        wrong = "NaN or infinity" if not torch.isfinite(value).all() else ""
        if name.endswith("running_var") and (value < 0).any():
            wrong = "a negative variance"
        if wrong:
            raise InputError(f"tensor '{name}' holds {wrong}", where=str(path), fix="take other weights")
    return tensors


def _about(path: Path, notes: dict[str, str], sha256: str, layers: TrainedLayers) -> PretrainedWeights:
    fields = notes_of(notes, sha256, layers)
    try:
        if wrong := plain_json.problems(fields):
            raise ValueError("; ".join(wrong))
        return PretrainedWeights(**fields)
    except ValueError as e:
        raise _wrong_note(path, e) from None


def _normalisation(path: Path, notes: dict[str, str]) -> Normalisation | None:
    if NORMALISATION not in notes:
        return None
    try:
        return Normalisation.model_validate_json(notes[NORMALISATION])
    except ValueError as e:
        raise _wrong_note(path, e) from None


def _wrong_note(path: Path, error: ValueError) -> InputError:
    told = str(error)
    if isinstance(error, ValidationError):
        told = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:3])
    fix = "write the file again with `clinical-qkt weights convert`, which takes plain short texts"
    return InputError(f"what it says of itself cannot go on a card: {told}", where=str(path), fix=fix)
