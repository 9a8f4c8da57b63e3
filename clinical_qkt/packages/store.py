"""Models in folders: ``card.json``, ``model.safetensors`` and ``SHA256SUMS`` over both.

A site's own model and the teacher package that it shares have the same form. ``sha256sum -c SHA256SUMS``
checks one without this software. Loading never evaluates, imports by name or unpickles anything.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from clinical_qkt.errors import InputError, PackageError
from clinical_qkt.files import sha256, write_text
from clinical_qkt.packages.card import Card

CARD, WEIGHTS, SUMS = "card.json", "model.safetensors", "SHA256SUMS"
MAX_CARD_BYTES, MAX_WEIGHT_BYTES = 1_000_000, 4_000_000_000
_RESEND = "ask the sending site to share the package again"


@dataclass
class Model:
    """A network with its card, ready for use."""

    network: nn.Module
    card: Card
    folder: Path
    bytes: int


def save_model(folder: Path, network: nn.Module, card: Card) -> Card:
    """Write a model folder; an older one is replaced only once the new one is whole.

    Returns:
        The card with the digest of the weights.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        state = {k: v.detach().cpu().contiguous().clone() for k, v in network.state_dict().items()}
        save_file(state, part / WEIGHTS)
        card = card.model_copy(update={"weights_sha256": sha256(part / WEIGHTS)})
        write_text(part / CARD, json.dumps(card.facts(), indent=2, ensure_ascii=False) + "\n")
        write_text(part / SUMS, "".join(f"{sha256(part / f)}  {f}\n" for f in (CARD, WEIGHTS)))
        part.chmod(0o755)
        if folder.exists():
            old = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.old."))
            folder.rename(old / folder.name)
            part.rename(folder)
            shutil.rmtree(old)
        else:
            part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return card


def is_model(folder: Path) -> bool:
    """Whether the folder holds a whole model (its digests are not checked)."""
    return all((folder / name).is_file() for name in (CARD, WEIGHTS, SUMS))


def read_card(folder: Path) -> Card:
    """Check the folder's files and digests and read the card.

    Raises:
        PackageError: names the file and what is wrong with it.
    """
    if not folder.is_dir():
        raise PackageError(
            "there is no such folder", where=str(folder), fix="check the path in the site's YAML"
        )
    _check_files(folder)
    _check_digests(folder)
    try:
        return Card.model_validate(json.loads((folder / CARD).read_text(encoding="utf-8")))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError):
        raise PackageError("is not JSON", where=str(folder / CARD), fix=_RESEND) from None
    except (ValidationError, InputError) as e:
        problems = (
            "; ".join(f"{'.'.join(map(str, p['loc']))}: {p['msg']}" for p in e.errors())
            if isinstance(e, ValidationError)
            else e.problem
        )
        raise PackageError(problems, where=str(folder / CARD), fix=_RESEND) from None


def load_model(folder: str | Path) -> Model:
    """Load a model after checking it from the outside in: files, digests, card, tensors, values.

    Raises:
        PackageError: the package is refused; nothing of it is used.
    """
    folder = Path(folder)
    card = read_card(folder)
    weights = folder / WEIGHTS
    if card.weights_sha256 != sha256(weights):
        raise PackageError("does not match the digest on the card", where=str(weights), fix=_RESEND)
    try:
        network = card.network.build(len(card.label_space))
    except InputError as e:
        raise PackageError(e.problem, where=str(folder / CARD), fix=_RESEND) from None
    expected = network.state_dict()
    try:
        _check_tensors(weights, expected)
        state = load_file(weights)
    except SafetensorError as e:
        raise PackageError(f"is not a safetensors file ({e})", where=str(weights), fix=_RESEND) from None
    strange = [k for k, v in state.items() if v.is_floating_point() and not torch.isfinite(v).all()]
    if strange:
        raise PackageError(f"tensor '{strange[0]}' holds NaN or infinity", where=str(weights), fix=_RESEND)
    network.load_state_dict(state)
    size = sum((folder / f).stat().st_size for f in (CARD, WEIGHTS, SUMS))
    return Model(network.eval(), card, folder, size)


def _check_files(folder: Path) -> None:
    found = {p.name: p for p in folder.iterdir()}
    missing, extra = {CARD, WEIGHTS, SUMS} - set(found), set(found) - {CARD, WEIGHTS, SUMS}
    if missing or extra:
        what = f"lacks '{min(missing)}'" if missing else f"holds a file that does not belong: '{min(extra)}'"
        raise PackageError(what, where=str(folder), fix=_RESEND)
    for name, limit in ((CARD, MAX_CARD_BYTES), (SUMS, 1000), (WEIGHTS, MAX_WEIGHT_BYTES)):
        if found[name].is_symlink() or not found[name].is_file():
            raise PackageError("is not a plain file", where=str(found[name]), fix=_RESEND)
        if found[name].stat().st_size > limit:
            raise PackageError(f"is larger than {limit:,} bytes", where=str(found[name]), fix=_RESEND)


def _check_digests(folder: Path) -> None:
    expected = "".join(f"{sha256(folder / f)}  {f}\n" for f in (CARD, WEIGHTS))
    given = (folder / SUMS).read_bytes().decode("ascii", "replace").splitlines()
    for line, right in zip([*given, "", ""], expected.splitlines(), strict=False):
        if line != right:
            raise PackageError(
                "does not match its digest: the file was changed after the package was made",
                where=str(folder / right.split()[1]),
                fix=_RESEND,
            )


def _check_tensors(weights: Path, expected: dict[str, Any]) -> None:
    with safe_open(weights, framework="pt") as content:
        names = set(content.keys())
        for name in sorted(names ^ set(expected)):
            state = "is missing" if name in expected else "does not belong to the network"
            raise PackageError(f"tensor '{name[:100]}' {state}", where=str(weights), fix=_RESEND)
        for name, tensor in expected.items():
            shape = list(content.get_slice(name).get_shape())
            if shape != list(tensor.shape):
                raise PackageError(
                    f"tensor '{name}' has shape {shape}, the network needs {list(tensor.shape)}",
                    where=str(weights),
                    fix=_RESEND,
                )
