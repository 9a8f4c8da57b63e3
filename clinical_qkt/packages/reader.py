"""A package from another site, checked from the outside in; the one verifier for all kinds.

Nothing is evaluated, imported by name or unpickled, and no memory is taken for tensors before their names,
shapes and types were compared with what the card's network needs. All problems are told at once.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from clinical_qkt.core.errors import InputError, PackageError
from clinical_qkt.core.files import sha256
from clinical_qkt.packages.card import PackageCard
from clinical_qkt.packages.card_file import MAX_CARD_BYTES, read_card
from clinical_qkt.packages.signing import SIGNATURE, Signed, Trust
from clinical_qkt.packages.tensor_table import read_header
from clinical_qkt.packages.vouching import vouched
from clinical_qkt.packages.writer import CARD, SUMS

MAX_BYTES = {CARD: MAX_CARD_BYTES, SUMS: 1_000, SIGNATURE: 20_000}
MAX_TENSOR_BYTES = 4_000_000_000
MOST_HASHED = 100_000_000
"""A larger file of tensors is read only if its table says what the card's network needs."""
MAX_FILES = 100
"""In a folder, before looking on is a waste of time."""
MOST_TOLD = 20
"""Problems that are told one by one."""
RESEND = "ask the sending site to share the package again"

_DTYPES = {
    torch.float16: "F16",
    torch.float32: "F32",
    torch.float64: "F64",
    torch.int64: "I64",
    torch.bool: "BOOL",
}

C = TypeVar("C", bound=PackageCard)
T = TypeVar("T")


class Reading(Generic[C]):
    """One package on its way in.

    Reading goes on after a problem as far as it makes sense; ``refuse_if_wrong`` then raises them all.

    Args:
        folder: the package.
        schema: its kind of card.
        trust: whose packages this site takes; None: signatures are not looked at.

    Attributes:
        card: None if it is wrong.
        signed: what is known of the sender; known once ``tensors`` was called, as are ``digests``.
        orderly: the folder holds the files of a package, all plain, and nothing else.
        problems: ``(file, what is wrong with it)``.

    Raises:
        PackageError: there is no such folder.
    """

    def __init__(self, folder: str | Path, schema: type[C], trust: Trust | None = None) -> None:
        self.folder, self.schema = Path(folder), schema
        self.problems: list[tuple[str, str]] = []
        self.fix = RESEND
        if not self.folder.is_dir():
            exists = self.folder.exists()
            raise PackageError(
                "is no folder: packages are folders" if exists else "there is no such folder",
                where=str(folder),
                fix="unpack an archive first" if exists else "check the path in the site's YAML",
            )
        self.trust, self.signed = trust, Signed()
        self.sizes = self._plain_files()
        self.orderly = not self.problems
        self.digests: dict[str, str] = {}
        self.card = self._read_card()
        self.header = self._read_header()

    @property
    def bytes(self) -> int:
        """The size of its files together."""
        return sum(self.sizes.values())

    def problem(self, file: str, what: str, fix: str | None = None) -> None:
        """Note a problem; the fix of the last one that has its own is told."""
        self.problems.append((file, _printable(what)))
        self.fix = fix or self.fix

    def build(self, make: Callable[[C], T]) -> T | None:
        """What is made of the card, or None: if the card is wrong, or what it asks for cannot be made.

        It is made on the "meta" device: shapes without memory.
        """
        if self.card is None:
            return None
        try:
            with torch.device("meta"):
                return make(self.card)
        except InputError as e:
            self.problem(CARD, e.problem)
        except Exception as e:  # whatever MONAI and torch say of what another site chose
            self.problem(CARD, f"what it asks for cannot be made ({type(e).__name__})")
        return None

    def tensors(self, needed: Mapping[str, Tensor] | None) -> dict[str, Tensor]:
        """The tensors: exactly those needed, in shape and type, all finite; then raise what was found.

        Digests and signature are checked here, too: no large file is read for a network that it does not fit.

        Args:
            needed: on the "meta" device; None if they are not known, since something else is wrong.

        Raises:
            PackageError: all that is wrong with the package.
        """
        state: dict[str, Tensor] = {}
        file = self.schema.TENSORS
        fits = needed is not None and self.header is not None and self._same(needed)
        if fits or self.sizes.get(file, 0) <= MOST_HASHED:
            self._check_digests()
            self.signed = self._check_signature()
        if fits:
            try:
                state = load_file(self.folder / file)
            except (SafetensorError, OSError) as e:
                self.problem(file, f"cannot be read ({type(e).__name__})")
            for name, value in state.items():
                if value.is_floating_point() and not torch.isfinite(value).all():
                    self.problem(file, f"tensor '{name}' holds NaN or infinity")
                if name.endswith("running_var") and (value < 0).any():
                    self.problem(file, f"tensor '{name}' holds a negative variance")
        self.refuse_if_wrong()
        return state

    def refuse_if_wrong(self) -> None:
        """
        Raises:
            PackageError: all problems that were found.
        """
        if not self.problems:
            return
        told = list(dict.fromkeys(self.problems))
        if len(told) > MOST_TOLD:
            told = [*told[:MOST_TOLD], ("", f"… and {len(told) - MOST_TOLD} more")]
        raise PackageError.of(told, where=str(self.folder), fix=self.fix)

    def _plain_files(self) -> dict[str, int]:
        """The sizes of the files that may be opened; what is missing, too much or no plain file is noted."""
        needed = {CARD, self.schema.TENSORS, SUMS}
        try:
            found = {p.name: p for p in islice(self.folder.iterdir(), MAX_FILES)}
        except OSError as e:
            raise PackageError(
                f"cannot be read ({e.strerror})", where=str(self.folder), fix="make the folder readable"
            ) from None
        for name in sorted(needed - set(found)):
            self.problem("", f"lacks '{name}'")
        for name in sorted(set(found) - needed - {SIGNATURE}):
            self.problem("", f"holds a file that does not belong: '{name}'")
        sizes = {}
        for name in sorted((needed | {SIGNATURE}) & set(found)):
            about = found[name].lstat()
            limit = MAX_BYTES.get(name, MAX_TENSOR_BYTES)
            if not stat.S_ISREG(about.st_mode):
                self.problem(name, "is not a plain file")
            elif about.st_size > limit:
                self.problem(name, f"is larger than {limit:,} bytes")
            elif not _readable(found[name]):
                self.problem(name, "cannot be read: permission denied", "make the files readable")
            else:
                sizes[name] = about.st_size
        return sizes

    def _check_digests(self) -> None:
        whole = (f for f in (CARD, self.schema.TENSORS) if f in self.sizes)
        self.digests = {f: sha256(self.folder / f) for f in whole}
        tensors = self.schema.TENSORS
        if self.card and tensors in self.digests and self.card.weights_sha256 != self.digests[tensors]:
            self.problem(tensors, "does not match the digest on the card")
        if SUMS not in self.sizes:
            return
        lines = (self.folder / SUMS).read_bytes().split(b"\n")
        for name, line in zip((CARD, tensors), [*lines, b"", b""], strict=False):
            if name in self.digests and line != f"{self.digests[name]}  {name}".encode():
                self.problem(
                    name, "does not match its digest: the file was changed after the package was made"
                )
        if lines[2:] != [b""]:
            self.problem(SUMS, "holds more than two lines")

    def _read_card(self) -> C | None:
        if CARD not in self.sizes:
            return None
        card, found = read_card((self.folder / CARD).read_bytes(), self.schema)
        for what in found:
            self.problem(CARD, what)
        return card

    def _check_signature(self) -> Signed:
        if self.trust is None:
            return Signed()
        site = self.card.site if self.card else None
        files = {CARD, self.schema.TENSORS, SUMS} if self.orderly else set()
        signed, doubt = vouched(
            self.folder, site, self.digests.get(CARD), files, self.trust, signed=SIGNATURE in self.sizes
        )
        if doubt:
            self.problem(doubt.file, doubt.what, doubt.fix)
        return signed

    def _read_header(self) -> dict[str, tuple[list[int], str]] | None:
        """Name, shape and type of each tensor, without the tensors."""
        name = self.schema.TENSORS
        if name not in self.sizes:
            return None
        try:
            return read_header(self.folder / name)
        except (OSError, ValueError) as e:
            self.problem(name, f"is not a safetensors file ({e})")
            return None

    def _same(self, needed: Mapping[str, Tensor]) -> bool:
        assert self.header is not None
        before, name = len(self.problems), self.schema.TENSORS
        for key in sorted(set(needed) ^ set(self.header)):
            state = "is missing" if key in needed else "does not belong to the package"
            self.problem(name, f"tensor '{key[:100]}' {state}")
        for key in sorted(set(needed) & set(self.header)):
            (shape, dtype), wanted = self.header[key], needed[key]
            if shape != list(wanted.shape):
                self.problem(name, f"tensor '{key}' has shape {shape}, {list(wanted.shape)} is needed")
            elif dtype != _DTYPES[wanted.dtype]:
                self.problem(
                    name, f"tensor '{key}' has numbers of type {dtype}, {_DTYPES[wanted.dtype]} is needed"
                )
        return len(self.problems) == before


def _readable(path: Path) -> bool:
    try:
        with path.open("rb"):
            return True
    except OSError:
        return False


def _printable(text: Any) -> str:
    """Text from another site as it may be shown: no control characters, not endless."""
    return "".join(c if c.isprintable() else "?" for c in str(text))[:300]
