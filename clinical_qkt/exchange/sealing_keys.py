"""Keys that parcels are sealed for: one to keep, and a public one that its site's signature vouches for.

So that nobody has to compare a second fingerprint: the public file holds the site's name and key, signed with
the site's signing key, which the others trust already.
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Literal

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from pydantic import Field, ValidationError

from clinical_qkt.core.errors import InputError, OutputError
from clinical_qkt.core.files import private_file, write_text
from clinical_qkt.core.terms import PSEUDONYM
from clinical_qkt.core.values import Sent
from clinical_qkt.exchange import signed_text
from clinical_qkt.packages import plain_json
from clinical_qkt.packages.key_files import given_passphrase, written

_FORMAT = b"clinical-qkt/sealing-key/1"
_NEW = "make one with `clinical-qkt exchange keys SITE.yaml`"
_MOST_BYTES = 4_000


class _Public(Sent):
    format: Literal["clinical-qkt/sealing-key/1"] = "clinical-qkt/sealing-key/1"
    site: str = Field(pattern=PSEUDONYM)
    key: str = Field(pattern=r"^[A-Za-z0-9+/=]{44}$")
    signature: str = Field(pattern=r"^[A-Za-z0-9+/=]{1,200}$")

    @property
    def signed(self) -> bytes:
        return f"{self.site}\n{self.key}".encode()


def new_sealing_key(site: str, private: Path, signing_key: Path) -> Path:
    """Make a pair, and sign the public one; gives its file, ``….sealing.pub`` beside the private one.

    Args:
        private: where the private key goes; locked with the passphrase of the signing key, if it has one.

    Raises:
        OutputError: one of the files is there already.
        InputError: the signing key cannot be used.
    """
    public = private.with_name(f"{site}.sealing.pub")
    for path in (private, public):
        if path.exists():
            raise OutputError(
                "is there already, and parcels sealed for it could not be opened without it",
                where=str(path),
                fix="move the old keys away",
            )
    key = X25519PrivateKey.generate()
    raw = base64.b64encode(key.public_key().public_bytes_raw()).decode()
    unsigned = _Public(site=site, key=raw, signature="=")
    signature = signed_text.sign(unsigned.signed, signing_key, _FORMAT)
    private_file(private).write_bytes(written(key, given_passphrase()))
    write_text(public, unsigned.model_copy(update={"signature": signature}).model_dump_json(indent=2) + "\n")
    return public


def read_private(path: Path) -> X25519PrivateKey:
    """A site's own sealing key.

    Raises:
        InputError: the file holds none that can be opened.
    """
    where = f"exchange: sealing_key: {path}"
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), given_passphrase())
    except OSError as e:
        raise InputError(f"cannot be read ({e.strerror})", where=where, fix=_NEW) from None
    except (ValueError, TypeError):
        raise InputError(
            "is no private key, or is locked and the passphrase does not fit", where=where, fix=_NEW
        ) from None
    if not isinstance(key, X25519PrivateKey):
        raise InputError("is no sealing key", where=where, fix=_NEW)
    return key


def read_public(site: str, path: Path, public_key: Path) -> X25519PublicKey:
    """Another site's sealing key, once its signature was found to be that site's.

    Args:
        public_key: the site's, from ``trusted_keys``.

    Raises:
        InputError: it is not that site's, or cannot be read.
    """
    where = f"exchange: sealing_keys: {site}: {path}"
    fix = f"get the file {site}.sealing.pub from {site} anew"
    try:
        with path.open("rb") as f:
            told = _Public.model_validate(plain_json.parse(f.read(_MOST_BYTES)))
        found = X25519PublicKey.from_public_bytes(base64.b64decode(told.key, validate=True))
    except OSError as e:
        raise InputError(f"cannot be read ({e.strerror})", where=where, fix=fix) from None
    except (ValueError, ValidationError):
        raise InputError("is no public sealing key", where=where, fix=fix) from None
    if told.site != site:
        raise InputError(f"is the sealing key of '{told.site}'", where=where, fix=fix)
    if not signed_text.holds(told.signed, told.signature, public_key, _FORMAT):
        raise InputError("is not signed with the key that this site trusts", where=where, fix=fix)
    return found
