"""A mailbox: a folder that all sites reach, by any address that fsspec knows; one folder in it a receiver.

    MAILBOX/RECEIVER/NAME.parcel

The name is the digest of the parcel, so that putting it again changes nothing. The receiver takes it out once
it lies at its desk. Nobody's rights are looked at here: whoever can write to the mailbox can take parcels out
of it or add some, and can neither read nor change one unnoticed.
"""

from __future__ import annotations

import contextlib
import errno
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import fsspec
from fsspec.core import url_to_fs

from clinical_qkt.core.errors import InputError, OutputError, QKTError
from clinical_qkt.core.files import sha256, write_whole
from clinical_qkt.core.terms import PSEUDONYM
from clinical_qkt.exchange.parcel import SUFFIX

DIRECTORY = ".directory"
"""No site can be called so."""
_OFFER = re.compile(PSEUDONYM.removesuffix("$") + r"\.json$")
_NAME = re.compile(rf"[0-9a-f]{{64}}{re.escape(SUFFIX)}")
_FIX = "check 'exchange: folder' in the site's YAML, the network and the rights there; nothing was lost"


@dataclass(frozen=True)
class Waiting:
    """A parcel that lies with the carrier for this site.

    Attributes:
        bytes: its size.
    """

    name: str
    bytes: int


class Folder:
    """The mailbox as one site uses it.

    Args:
        address: a path or an address for fsspec.
        site: whose parcels are fetched.

    Attributes:
        out: below which there is a folder for each receiver.
        own: the folder in which this site's parcels lie.

    Raises:
        InputError: fsspec knows no such address, or lacks a package for it.
    """

    def __init__(self, address: str, site: str) -> None:
        try:
            self.fs, root = url_to_fs(address)
        except (ValueError, ImportError) as e:
            raise InputError(
                f"cannot be used ({e})",
                where="exchange: folder",
                fix="give a path, or an address whose package is installed: s3fs for s3, paramiko for sftp",
            ) from None
        self.out, self.own = root, f"{root}/{site}"

    @classmethod
    def of_spool(cls, folder: Path) -> Folder:
        """A spool from which another carrier fetches: what goes lies apart from what comes."""
        made = cls(str(folder), "in")
        made.out = f"{made.out}/out"
        return made

    def put(self, receiver: str, parcel: Path) -> None:
        """Leave a parcel for somebody; it appears whole or not at all.

        Raises:
            OutputError: the mailbox cannot be reached.
        """
        place = f"{self.out}/{receiver}"
        whole, part = f"{place}/{sha256(parcel)}{SUFFIX}", f"{place}/.{secrets.token_hex(8)}"
        with self._reaching():
            self.fs.makedirs(place, exist_ok=True)
            if isinstance(self.fs, fsspec.get_filesystem_class("file")) or not _whole_at_once(self.fs):
                self.fs.put_file(str(parcel), part)
                self.fs.mv(part, whole)
            else:
                self.fs.put_file(str(parcel), whole)

    def waiting(self) -> list[Waiting]:
        """What lies here for this site, in a fixed order; what is no parcel by its name is passed over."""
        with self._reaching():
            self.fs.invalidate_cache()
            try:
                found = self.fs.ls(self.own, detail=True)
            except FileNotFoundError:
                return []
        named = [(str(one["name"]).rsplit("/", 1)[-1], one) for one in found if one["type"] == "file"]
        return sorted(
            (Waiting(name, int(one["size"] or 0)) for name, one in named if _NAME.fullmatch(name)),
            key=lambda one: one.name,
        )

    def fetch(self, parcel: Waiting, to: Path) -> None:
        """Copy a parcel; it is there whole or not at all, and no larger than it was said to be."""

        def write(part: Path) -> None:
            with self.fs.open(f"{self.own}/{parcel.name}", "rb") as f, part.open("wb") as out:
                left = parcel.bytes
                while left and (block := f.read(min(left, 1 << 20))):
                    out.write(block)
                    left -= len(block)

        with self._reaching():
            write_whole(to, write, private=True)

    def remove(self, parcel: Waiting) -> None:
        """Take a parcel out."""
        with self._reaching(), contextlib.suppress(FileNotFoundError):
            self.fs.rm_file(f"{self.own}/{parcel.name}")

    def write_offer(self, site: str, content: bytes) -> None:
        """Put a site's file into the directory beside the mailboxes."""
        with self._reaching():
            self.fs.makedirs(f"{self.out}/{DIRECTORY}", exist_ok=True)
            part = f"{self.out}/{DIRECTORY}/.{secrets.token_hex(8)}"
            self.fs.pipe_file(part, content)
            self.fs.mv(part, f"{self.out}/{DIRECTORY}/{site}.json")

    def offer_names(self) -> list[str]:
        """Of which sites there is a file in the directory."""
        with self._reaching():
            self.fs.invalidate_cache()
            try:
                found = self.fs.ls(f"{self.out}/{DIRECTORY}", detail=False)
            except FileNotFoundError:
                return []
        names = (str(one).rsplit("/", 1)[-1] for one in found)
        return sorted(name.removesuffix(".json") for name in names if _OFFER.fullmatch(name))

    def read_offer(self, site: str, most: int) -> bytes:
        """A site's file, or its beginning if it is longer than it may be."""
        with self._reaching(), self.fs.open(f"{self.out}/{DIRECTORY}/{site}.json", "rb") as f:
            return bytes(f.read(most))

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        try:
            yield
        except QKTError:
            raise
        except Exception as e:  # each address has errors of its own
            if isinstance(e, OSError) and e.errno in (errno.ENOSPC, errno.EDQUOT):
                raise
            told = getattr(e, "strerror", None) or type(e).__name__
            raise OutputError(
                f"the mailbox cannot be reached ({told})", where="exchange: folder", fix=_FIX
            ) from None


def _whole_at_once(fs: fsspec.AbstractFileSystem) -> bool:
    """Whether an object appears only when all of it is there, as S3 and its kin promise."""
    kinds = {fs.protocol} if isinstance(fs.protocol, str) else set(fs.protocol)
    return bool(kinds & {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "memory"})
