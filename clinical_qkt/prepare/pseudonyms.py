"""Names that mean nothing outside the site: hashes with a secret of the site's own."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from pathlib import Path

from clinical_qkt.core.errors import InputError

SIZE = 32


class Salt:
    """A secret that turns identifiers into names.

    Without it nobody can try out identifiers until a name fits, as is easy with a plain hash. The same
    identifier gets the same name as long as the salt is the same.

    Args:
        secret: 32 random bytes.
    """

    def __init__(self, secret: bytes) -> None:
        if len(secret) != SIZE:
            raise ValueError(f"a salt has {SIZE} bytes")
        self._secret = secret

    @classmethod
    def new(cls) -> Salt:
        """A fresh one."""
        return cls(secrets.token_bytes(SIZE))

    @classmethod
    def read(cls, path: Path, where: str) -> Salt:
        """
        Raises:
            InputError: the file is no salt.
        """
        try:
            return cls(path.read_bytes())
        except (OSError, ValueError):
            fix = "give the file 'local/salt' of an earlier `clinical-qkt prepare`"
            raise InputError("is no salt that can be read", where=where, fix=fix) from None

    def write(self, path: Path) -> None:
        """Keep it, readable by its owner alone."""
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as f:
            f.write(self._secret)

    def name(self, *parts: str) -> str:
        """Sixteen hexadecimal digits for an identifier: keyed BLAKE2b of its parts, first its kind."""
        content = json.dumps(parts).encode()
        return hashlib.blake2b(content, key=self._secret, digest_size=8).hexdigest()
