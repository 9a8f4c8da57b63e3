"""A site's spool: ``out/RECEIVER/NAME.parcel`` waits to be carried, ``in/NAME.parcel`` has come.

A parcel's name is its digest: nobody can bring another one under its name; what was changed is refused.

The desk puts parcels into ``out`` whole, under another name first, and takes them from ``in``. A sweep does
the rest, and everything it does can be done again. Nothing here needs FLARE or reads what is sealed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from clinical_qkt.core.errors import PackageError
from clinical_qkt.core.files import private_folder, sha256
from clinical_qkt.core.terms import PSEUDONYM
from clinical_qkt.exchange.carriers.flare.messages import (
    MOST,
    Offer,
    Order,
    Parcel,
    Piece,
    Report,
    Want,
)
from clinical_qkt.exchange.parcel import SUFFIX, Envelope, read_envelope

_NAME = re.compile(rf"([0-9a-f]{{64}}){re.escape(SUFFIX)}")
_PART = ".part"
_LOCK = ".sweep"


class Spool:
    """The two folders, as a sweep uses them.

    Args:
        folder: the spool; made if missing.
        site: whose it is.
        largest: bytes of a parcel that is taken or given, at most.
        quota: bytes that may lie in ``in`` in all.
    """

    def __init__(self, folder: Path, site: str, *, largest: int, quota: int) -> None:
        self.folder, self.site, self.largest, self.quota = folder, site, largest, quota
        self._in, self._out = private_folder(folder / "in"), private_folder(folder / "out")
        self._coming: dict[Path, int] = {}  # sizes of what was begun

    @contextlib.contextmanager
    def held(self) -> Iterator[bool]:
        """Hold the spool for one sweep; False if another sweep does. A process that dies lets go of it."""
        with (self.folder / _LOCK).open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True

    def tidy(self) -> None:
        """Remove what a sweep that was cut off left half written."""
        for part in self._in.glob(f".*{_PART}"):
            part.unlink(missing_ok=True)
        self._coming.clear()

    def offers(self) -> list[Offer]:
        """What lies here for others, the smallest first."""
        found = []
        for receiver in sorted(self._out.iterdir()):
            if re.match(PSEUDONYM, receiver.name) and receiver.name != self.site and _is_folder(receiver):
                found += [o for file in receiver.iterdir() if (o := self._offer(receiver.name, file))]
        return sorted(found, key=lambda o: o.size)[:MOST]

    def _offer(self, receiver: str, file: Path) -> Offer | None:
        named = _NAME.fullmatch(file.name)
        size = _size(file)
        if not named or not 0 < size <= self.largest or not self._says(file, self.site, receiver):
            return None
        return Offer(sender=self.site, receiver=receiver, name=named[1], size=size)

    def give(self, want: Want) -> Piece | None:
        """The piece that is wanted; None if there is no such parcel, or it is shorter."""
        file = self._out / want.receiver / (want.name + SUFFIX)
        size = _size(file) if _is_folder(file.parent) else 0
        if want.sender != self.site or not want.offset < size <= self.largest:
            return None
        with file.open("rb") as f:
            f.seek(want.offset)
            data = f.read(want.length)
        return Piece(**want.model_dump(exclude={"length"}), size=size, data=data) if data else None

    def take(self, piece: Piece) -> bool | None:
        """Write a piece: True once the parcel is whole in ``in``, None while more must come, False: refused.

        Raises:
            OSError: the disk is full, for instance; then nothing half written stands under a parcel's name.
        """
        whole = self._in / (piece.name + SUFFIX)
        if whole.exists():
            return self._says(whole, piece.sender, self.site)
        part = self._in / f".{piece.name}.{piece.sender}{_PART}"
        if piece.receiver != self.site or not self._has_room(piece, part):
            return False
        _write(part, piece)
        if piece.end < piece.size:
            return None
        return self._finish(part, whole, piece)

    def _has_room(self, piece: Piece, part: Path) -> bool:
        """Whether it fits what was said at its beginning, and, at its beginning, the quota."""
        if piece.offset:
            goes_on = _size(part) >= piece.offset and self._coming.get(part) == piece.size
            return goes_on and piece.end <= piece.size
        self._coming.pop(part, None)
        lying = sum(_size(f) for f in self._in.iterdir() if f.suffix == SUFFIX) + sum(self._coming.values())
        if not piece.end <= piece.size <= min(self.largest, self.quota - lying):
            return False
        self._coming[part] = piece.size
        return True

    def _finish(self, part: Path, whole: Path, piece: Piece) -> bool:
        self._coming.pop(part, None)
        if sha256(part) != piece.name or not self._says(part, piece.sender, self.site):
            part.unlink()
            return False
        part.replace(whole)
        _sync(self._in)
        return True

    def arrived(self, parcel: Parcel) -> None:
        """A parcel lies whole at its receiver's: it leaves ``out``."""
        if parcel.sender == self.site and _is_folder(self._out / parcel.receiver):
            (self._out / parcel.receiver / (parcel.name + SUFFIX)).unlink(missing_ok=True)

    def _says(self, file: Path, sender: str, receiver: str) -> bool:
        envelope = _envelope(file)
        return envelope is not None and (envelope.sender, envelope.receiver) == (sender, receiver)


def carry_out(order: Order, spool: Spool, aborted: Callable[[], bool] = lambda: False) -> Report:
    """What a site does in one round; a parcel that cannot be written or read keeps no other back."""
    for parcel in order.arrived:
        spool.arrived(parcel)
    report = Report(offers=spool.offers() if order.tell else [])
    for piece in order.take:
        if aborted():
            return report
        kept = _taken(piece, spool)
        if kept is not None:
            (report.kept if kept else report.refused).append(_parcel(piece))
    report.pieces.extend(given for want in order.want if (given := _given(want, spool)))
    return report


def _taken(piece: Piece, spool: Spool) -> bool | None:
    try:
        return spool.take(piece)
    except OSError:  # the disk is full: the sender keeps it, and a later sweep tries again
        return False


def _given(want: Want, spool: Spool) -> Piece | None:
    try:
        return spool.give(want)
    except OSError:
        return None


def _parcel(piece: Piece) -> Parcel:
    return Parcel(sender=piece.sender, receiver=piece.receiver, name=piece.name)


def _envelope(file: Path) -> Envelope | None:
    try:
        return read_envelope(file)
    except (PackageError, FileNotFoundError):  # the desk may have taken it meanwhile
        return None


def _write(part: Path, piece: Piece) -> None:
    """Write a piece at its place; what stood behind it came in a round that is repeated."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW
    with os.fdopen(os.open(part, flags, 0o600), "wb") as f:
        f.truncate(piece.offset)
        f.seek(piece.offset)
        f.write(piece.data)
        f.flush()
        if piece.end == piece.size:
            os.fsync(f.fileno())


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _size(file: Path) -> int:
    """Of a file; 0 for a link, a folder or nothing."""
    try:
        found = file.lstat()
    except OSError:
        return 0
    return found.st_size if stat.S_ISREG(found.st_mode) else 0


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()
