"""Packages as folders: a card, tensors, and ``SHA256SUMS`` over both; the one writer and the one verifier.

A teacher package, a query and an answer have the same form and differ in the card's schema.
``sha256sum -c SHA256SUMS`` checks one without this software. Reading never evaluates, imports by name or
unpickles anything.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from clinical_qkt.errors import InputError, PackageError
from clinical_qkt.files import sha256, write_text
from clinical_qkt.packages.card import PackageCard

CARD, SUMS = "card.json", "SHA256SUMS"
MAX_CARD_BYTES, MAX_TENSOR_BYTES = 1_000_000, 4_000_000_000
RESEND = "ask the sending site to share the package again"

C = TypeVar("C", bound=PackageCard)


def write_package(folder: Path, card: C, tensors: Mapping[str, Tensor]) -> C:
    """Write a package; an older one is replaced only once the new one is whole.

    Returns:
        The card with the digest of the tensors.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        state = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
        save_file(state, part / card.TENSORS)
        card = card.model_copy(update={"weights_sha256": sha256(part / card.TENSORS)})
        write_text(part / CARD, json.dumps(card.facts(), indent=2, ensure_ascii=False) + "\n")
        write_text(part / SUMS, "".join(f"{sha256(part / f)}  {f}\n" for f in (CARD, card.TENSORS)))
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


def is_package(folder: Path, schema: type[PackageCard]) -> bool:
    """Whether the folder holds a whole package of a kind (its digests are not checked)."""
    return all((folder / name).is_file() for name in (CARD, schema.TENSORS, SUMS))


def package_bytes(folder: Path) -> int:
    """The size of a package's files together."""
    return sum(p.stat().st_size for p in folder.iterdir())


def read_card(folder: Path, schema: type[C]) -> C:
    """Check a package from the outside in: files, sizes, digests, card.

    Raises:
        PackageError: names the file and what is wrong with it.
    """
    if not folder.is_dir():
        raise PackageError(
            "there is no such folder", where=str(folder), fix="check the path in the site's YAML"
        )
    _check_files(folder, schema.TENSORS)
    _check_digests(folder, schema.TENSORS)
    try:
        card = schema.model_validate(json.loads((folder / CARD).read_text(encoding="utf-8")))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError):
        raise PackageError("is not JSON", where=str(folder / CARD), fix=RESEND) from None
    except (ValidationError, InputError) as e:
        problems = (
            "; ".join(f"{'.'.join(map(str, p['loc']))}: {p['msg']}" for p in e.errors())
            if isinstance(e, ValidationError)
            else e.problem
        )
        raise PackageError(problems, where=str(folder / CARD), fix=RESEND) from None
    if card.weights_sha256 != sha256(folder / schema.TENSORS):
        where = str(folder / schema.TENSORS)
        raise PackageError("does not match the digest on the card", where=where, fix=RESEND)
    return card


def read_tensors(path: Path, shapes: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
    """The tensors of a package: exactly those expected, all finite.

    Names and shapes are compared before anything is read at full size.

    Raises:
        PackageError: names the tensor.
    """
    try:
        _check_tensors(path, shapes)
        state = load_file(path)
    except SafetensorError as e:
        raise PackageError(f"is not a safetensors file ({e})", where=str(path), fix=RESEND) from None
    strange = [k for k, v in state.items() if v.is_floating_point() and not torch.isfinite(v).all()]
    if strange:
        raise PackageError(f"tensor '{strange[0]}' holds NaN or infinity", where=str(path), fix=RESEND)
    return state


def _check_files(folder: Path, tensors: str) -> None:
    names = {CARD, tensors, SUMS}
    found = {p.name: p for p in folder.iterdir()}
    missing, extra = names - set(found), set(found) - names
    if missing or extra:
        what = f"lacks '{min(missing)}'" if missing else f"holds a file that does not belong: '{min(extra)}'"
        raise PackageError(what, where=str(folder), fix=RESEND)
    for name, limit in ((CARD, MAX_CARD_BYTES), (SUMS, 1000), (tensors, MAX_TENSOR_BYTES)):
        if found[name].is_symlink() or not found[name].is_file():
            raise PackageError("is not a plain file", where=str(found[name]), fix=RESEND)
        if found[name].stat().st_size > limit:
            raise PackageError(f"is larger than {limit:,} bytes", where=str(found[name]), fix=RESEND)


def _check_digests(folder: Path, tensors: str) -> None:
    expected = "".join(f"{sha256(folder / f)}  {f}\n" for f in (CARD, tensors))
    given = (folder / SUMS).read_bytes().decode("ascii", "replace").splitlines()
    for line, right in zip([*given, "", ""], expected.splitlines(), strict=False):
        if line != right:
            raise PackageError(
                "does not match its digest: the file was changed after the package was made",
                where=str(folder / right.split()[1]),
                fix=RESEND,
            )


def _check_tensors(path: Path, shapes: Mapping[str, Sequence[int]]) -> None:
    with safe_open(path, framework="pt") as content:
        names = set(content.keys())
        for name in sorted(names ^ set(shapes)):
            state = "is missing" if name in shapes else "does not belong to the package"
            raise PackageError(f"tensor '{name[:100]}' {state}", where=str(path), fix=RESEND)
        for name, expected in shapes.items():
            shape = list(content.get_slice(name).get_shape())
            if shape != list(expected):
                raise PackageError(
                    f"tensor '{name}' has shape {shape}, {list(expected)} is needed",
                    where=str(path),
                    fix=RESEND,
                )
