"""A parcel: one file that its receiver alone can open, whoever carries it.

    clinical-qkt/parcel/1                      a line
    {"exchange": …, "kind": …, …}              a line: the envelope, all that a carrier sees
    nonce (12 bytes), ciphertext, tag (16)     AES-256-GCM; the two lines are its associated data

The content's key is wrapped with HPKE (RFC 9180: X25519, HKDF-SHA256, AES-256-GCM) for the receiver's sealing
key. The content is padded, so that its size does not tell a refusal from an answer.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from pydantic import Field, ValidationError

from clinical_qkt.core.errors import PackageError
from clinical_qkt.core.files import write_whole
from clinical_qkt.core.terms import PSEUDONYM
from clinical_qkt.core.values import Sent
from clinical_qkt.packages import plain_json

SUFFIX = ".parcel"
FIRST_LINE = b"clinical-qkt/parcel/1\n"
SMALLEST = 128 * 1024
"""To so many bytes every content is padded; a larger one to the next 64th of the power of two below it."""
_ENVELOPE_BYTES = 2_000
_NONCE, _TAG, _KEY, _AT_ONCE = 12, 16, 32, 1 << 20
_SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)

Kind = Literal["ask", "reply", "receipt"]
NOT_OURS = "ask the sender to seal it again, with the sealing key that this site gives away now"


class Envelope(Sent):
    """All that a carrier sees of a parcel, beside its size and the time."""

    exchange: str = Field(pattern=r"^[0-9a-f]{32}$")
    """Which exchange it belongs to."""
    kind: Kind
    """What is inside."""
    sender: str = Field(pattern=PSEUDONYM)
    """Who sealed it; inside, a signature proves it."""
    receiver: str = Field(pattern=PSEUDONYM)
    """Who can open it."""


class _Sealed(Envelope):
    key: str = Field(pattern=r"^[A-Za-z0-9+/=]{1,400}$")
    """The content's key, wrapped for the receiver."""

    @property
    def plain(self) -> Envelope:
        return Envelope(**self.model_dump(exclude={"key"}))


def padded_size(size: int) -> int:
    """To how many bytes a content is padded.

    >>> [padded_size(n) for n in (10, 131072, 131073, 1_300_000)]
    [131072, 131072, 133120, 1310720]
    """
    step = 1 << max(0, max(size, 1).bit_length() - 7)
    return max(SMALLEST, -(-size // step) * step)


def read_envelope(path: Path) -> Envelope:
    """What stands on a parcel; proven by nothing.

    Raises:
        PackageError: it is no parcel.
    """
    with path.open("rb") as f:
        return _head(f, path)[0].plain


def envelope_in(start: bytes) -> Envelope:
    """What stands on a parcel, of which only the beginning is at hand; proven by nothing.

    Raises:
        PackageError: it is no parcel's.
    """
    return _head(BytesIO(start), Path("parcel"))[0].plain


def seal(path: Path, envelope: Envelope, content: Path, receiver: X25519PublicKey) -> None:
    """Write a parcel, whole or not at all.

    Args:
        content: its plain content's file, see ``letters``.
        receiver: the sealing key.
    """
    key, nonce = os.urandom(_KEY), os.urandom(_NONCE)
    wrapped = base64.b64encode(_SUITE.encrypt(key, receiver, info=_bound(envelope))).decode()
    head = FIRST_LINE + _Sealed(**envelope.model_dump(), key=wrapped).model_dump_json().encode() + b"\n"
    cipher = Cipher(algorithms.AES(key), modes.GCM(nonce)).encryptor()
    cipher.authenticate_additional_data(head)

    def write(part: Path) -> None:
        with part.open("wb") as to, content.open("rb") as f:
            to.write(head + nonce)
            for block in _padded(f, content.stat().st_size):
                to.write(cipher.update(block))
            to.write(cipher.finalize() + cipher.tag)

    write_whole(path, write, private=True)


def unseal(path: Path, to: Path, key: X25519PrivateKey) -> Envelope:
    """Open a parcel: its padded content is written, whole or not at all, once the tag was found to be right.

    Raises:
        PackageError: it is no parcel, not for this key, or was changed on its way.
    """
    with path.open("rb") as f:
        sealed, head = _head(f, path)
        size = path.stat().st_size - len(head) - _NONCE - _TAG
        if size < 0:
            raise PackageError("is cut off", where=path.name, fix="wait for the whole of it")
        nonce = f.read(_NONCE)
        cipher = Cipher(algorithms.AES(_content_key(sealed, key, path)), modes.GCM(nonce)).decryptor()
        cipher.authenticate_additional_data(head)

        def write(part: Path) -> None:
            with part.open("wb") as out:
                for block in _blocks(f, size):
                    out.write(cipher.update(block))
                cipher.finalize_with_tag(f.read(_TAG))

        try:
            write_whole(to, write, private=True)
        except InvalidTag:
            raise PackageError(
                "was changed on its way", where=path.name, fix="the sender sends it again"
            ) from None
    return sealed.plain


def _content_key(sealed: _Sealed, key: X25519PrivateKey, path: Path) -> bytes:
    try:
        wrapped = base64.b64decode(sealed.key, validate=True)
        found = _SUITE.decrypt(wrapped, key, info=_bound(sealed.plain))
    except Exception:  # whatever the library says of hostile bytes
        raise PackageError("is not sealed for this site's key", where=path.name, fix=NOT_OURS) from None
    if len(found) != _KEY:
        raise PackageError("holds no key", where=path.name, fix=NOT_OURS)
    return found


def _bound(envelope: Envelope) -> bytes:
    """What the wrapped key is bound to."""
    return FIRST_LINE + envelope.model_dump_json().encode()


def _head(f: BinaryIO, path: Path) -> tuple[_Sealed, bytes]:
    first = f.readline(len(FIRST_LINE))
    if first != FIRST_LINE:
        other = first.startswith(b"clinical-qkt/parcel/")
        raise PackageError(
            "is a parcel of another version" if other else "is no parcel",
            where=path.name,
            fix="bring both sites to the same version of clinical-qkt"
            if other
            else "take it out of the mailbox",
        )
    line = f.readline(_ENVELOPE_BYTES)
    try:
        sealed = _Sealed.model_validate(plain_json.parse(line))
    except (ValueError, ValidationError):
        raise PackageError(
            "has an envelope that cannot be read", where=path.name, fix="take it out of the mailbox"
        ) from None
    return sealed, first + line


def _blocks(f: BinaryIO, size: int) -> Iterator[bytes]:
    while size > 0 and (block := f.read(min(size, _AT_ONCE))):
        size -= len(block)
        yield block


def _padded(f: BinaryIO, size: int) -> Iterator[bytes]:
    yield from _blocks(f, size)
    rest = padded_size(size) - size
    while rest > 0:
        block = bytes(min(rest, _AT_ONCE))
        rest -= len(block)
        yield block
