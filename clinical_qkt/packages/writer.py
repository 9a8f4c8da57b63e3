"""Packages as folders: a card, tensors, ``SHA256SUMS`` over both, and a signature; the one writer.

A teacher package, a query and an answer have the same form and differ in the card's schema. ``reader``
checks and reads them. ``sha256sum -c SHA256SUMS`` checks one without this software.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeVar

from safetensors.torch import save_file
from torch import Tensor

from clinical_qkt.core.errors import InputError, PackageError
from clinical_qkt.core.files import as_umask_says, sha256, write_text
from clinical_qkt.packages import made_here, signing
from clinical_qkt.packages.card import PackageCard
from clinical_qkt.packages.card_file import card_text

CARD, SUMS = "card.json", "SHA256SUMS"

C = TypeVar("C", bound=PackageCard)


def write_package(
    folder: Path,
    card: C,
    tensors: Mapping[str, Tensor],
    *,
    check: Callable[[Path], object],
    signing_key: Path | None = None,
    agree: Callable[[Path, C], None] | None = None,
    record: Iterable[Path] = (),
) -> C:
    """Write a package that can be read; an older one is replaced only once the new one is whole.

    Args:
        check: reads the finished package as whoever receives it will; raises ``PackageError`` if that is
            not possible.
        signing_key: the site's private key; without one the package is not signed.
        agree: shown the finished package before it is put in place; what it raises leaves all as it was.
        record: of the site, see ``made_here``; gets a line before the package is put in place.

    Returns:
        The card with the digest of the tensors.

    Raises:
        InputError: no receiver would take the package, with the reasons; or the key cannot be used.
    """
    card_text(card)  # before any tensor is written
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        state = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
        save_file(state, part / card.TENSORS)
        card = card.model_copy(update={"weights_sha256": sha256(part / card.TENSORS)})
        write_text(part / CARD, card_text(card))
        write_text(part / SUMS, sums(part, card))
        _require_readable(part, card, check)
        if signing_key:
            signing.sign(part, signing_key)
        if agree:
            agree(part, card)
        made_here.note(record, part / CARD)
        as_umask_says(part)
        _put_in_place(part, folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return card


def _require_readable(part: Path, card: PackageCard, check: Callable[[Path], object]) -> None:
    """
    Raises:
        InputError: a reader refuses the finished package.
    """
    try:
        check(part)
    except PackageError as e:
        told = [f"{file}: {what}" for file, what in e.problems[:3]] or [e.problem]
        raise InputError(
            f"whoever receives it would refuse it: {'; '.join(told)}",
            where=f"package of '{card.site}'",
            fix="if weights are not finite, train again with a smaller 'learning_rate'; else correct the "
            "site's YAML",
        ) from None


def _put_in_place(part: Path, folder: Path) -> None:
    if not folder.exists():
        part.rename(folder)
        return
    old = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.old."))
    folder.rename(old / folder.name)
    part.rename(folder)
    shutil.rmtree(old)


def sums(folder: Path, card: PackageCard | type[PackageCard]) -> str:
    """What ``SHA256SUMS`` says of a package's files as they are."""
    return "".join(f"{sha256(folder / f)}  {f}\n" for f in (CARD, card.TENSORS))


def is_package(folder: Path, schema: type[PackageCard]) -> bool:
    """Whether the folder holds a whole package of a kind (its digests are not checked)."""
    return all((folder / name).is_file() for name in (CARD, schema.TENSORS, SUMS))


def package_bytes(folder: Path) -> int:
    """The size of a package's files together."""
    return sum(p.stat().st_size for p in folder.iterdir())
