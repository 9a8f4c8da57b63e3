"""Key files: a pair for each site, the private one locked with a passphrase if its owner likes."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from asn1crypto import algos, keys, pem
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, padding, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC

from clinical_qkt.core.errors import InputError, OutputError
from clinical_qkt.core.terms import PSEUDONYM

PASSPHRASE = "CLINICAL_QKT_PASSPHRASE"
"""The environment variable that opens an encrypted private key."""


AnyPrivateKey = ec.EllipticCurvePrivateKey | X25519PrivateKey
"""Of signatures, and of parcels."""
ROUNDS = 600_000
"""Of PBKDF2 with SHA-256, between a passphrase and the key that it makes: what each guess costs somebody who
has the file (OWASP's figure of 2023). The library's own writer takes 2,048."""
_SALT_BYTES, _BLOCK_BYTES, _KEY_BYTES = 16, 16, 32


def new_key(name: str, folder: Path, passphrase: str | None = None) -> tuple[Path, Path, str]:
    """Make a pair of keys, ``NAME.key`` to keep and ``NAME.pub`` to give away.

    Args:
        passphrase: encrypts the private key.

    Returns:
        Both files, and the fingerprint of the public key.

    Raises:
        InputError: no site can have that name.
        OutputError: one of the files is there already.
    """
    if not re.fullmatch(PSEUDONYM, name):
        raise InputError(
            f"'{name}' cannot be a site's name", where="NAME", fix="use up to 64 letters, digits and _ . -"
        )
    private, public = folder / f"{name}.key", folder / f"{name}.pub"
    taken = next((p for p in (private, public) if p.exists()), None)
    if taken:
        raise OutputError(
            "is there already, and a key that is lost cannot be made again",
            where=str(taken),
            fix="name another folder with --out, or move the old keys away",
        )
    key = ec.generate_private_key(ec.SECP256R1())
    secret = written(key, passphrase.encode() if passphrase else None)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Nobody else may read it, not even for a moment: the mode first, then the secret.
        private.touch(mode=0o600, exist_ok=False)
        private.write_bytes(secret)
        public.write_bytes(_pem(key.public_key()))
    except OSError as e:
        raise OutputError(
            f"cannot be written ({e.strerror})", where=str(folder), fix="name a folder that you may write to"
        ) from None
    return private, public, fingerprint(public)


def fingerprint(public_key: Path, where: str = "") -> str:
    """SHA-256 of a public key, as hexadecimal digits, to be compared by telephone.

    Raises:
        InputError: the file holds no public key that can be used.
    """
    return hashlib.sha256(_pem(_public_key(public_key, where or str(public_key)))).hexdigest()


def require_private_key(path: Path) -> None:
    """Try a private key before any work is done for which it will be needed.

    Raises:
        InputError: it cannot be read, opened or used.
    """
    where = f"signing_key: {path}"
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), given_passphrase())
    except OSError as e:
        raise InputError(f"cannot be read ({e.strerror})", where=where, fix=_NEW) from None
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise InputError(
            "is no private key, or is encrypted and the passphrase does not fit",
            where=where,
            fix=f"give the file NAME.key; put the passphrase of an encrypted one into {PASSPHRASE}",
        ) from None
    if not (isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name == "secp256r1"):
        raise InputError("is not a key on the curve P-256", where=where, fix=_NEW)


_NEW = "make one with `clinical-qkt keys new NAME`"


def written(key: AnyPrivateKey, passphrase: bytes | None) -> bytes:
    """What a private key's file holds: PEM, locked if there is a passphrase."""
    return _locked(key, passphrase) if passphrase else _open(key, serialization.Encoding.PEM)


def _open(key: AnyPrivateKey, encoding: serialization.Encoding) -> bytes:
    return key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def _locked(key: AnyPrivateKey, passphrase: bytes) -> bytes:
    """A private key under a passphrase, in the form that OpenSSL reads: PKCS #8, PBES2 (RFC 8018), AES-256.

    The cipher and the rounds are those of the library ``cryptography``, whose own writer of this form lets
    nobody choose how many there are.
    """
    salt, start = os.urandom(_SALT_BYTES), os.urandom(_BLOCK_BYTES)
    made = PBKDF2HMAC(hashes.SHA256(), _KEY_BYTES, salt, ROUNDS).derive(passphrase)
    pad = padding.PKCS7(8 * _BLOCK_BYTES).padder()
    plain = pad.update(_open(key, serialization.Encoding.DER)) + pad.finalize()
    cipher = Cipher(algorithms.AES(made), modes.CBC(start)).encryptor()
    rounds = {
        "salt": algos.Pbkdf2Salt("specified", salt),
        "iteration_count": ROUNDS,
        "prf": {"algorithm": "sha256"},
    }
    parts = {
        "key_derivation_func": {"algorithm": "pbkdf2", "parameters": rounds},
        "encryption_scheme": {"algorithm": "aes256_cbc", "parameters": start},
    }
    locked = {
        "encryption_algorithm": {"algorithm": "pbes2", "parameters": parts},
        "encrypted_data": cipher.update(plain) + cipher.finalize(),
    }
    return bytes(pem.armor("ENCRYPTED PRIVATE KEY", keys.EncryptedPrivateKeyInfo(locked).dump()))


def given_passphrase() -> bytes | None:
    """What the environment says."""
    given = os.environ.get(PASSPHRASE)
    return given.encode() if given else None


def _pem(key: ec.EllipticCurvePublicKey) -> bytes:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_bytes(serialization.Encoding.PEM, form)


def _public_key(path: Path, where: str) -> ec.EllipticCurvePublicKey:
    fix = "give the file NAME.pub that the other site made with `clinical-qkt keys new`"
    try:
        key = serialization.load_pem_public_key(path.read_bytes())
    except OSError as e:
        raise InputError(f"cannot be read ({e.strerror})", where=where, fix=fix) from None
    except (ValueError, UnsupportedAlgorithm):
        raise InputError("is no public key", where=where, fix=fix) from None
    if not (isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name == "secp256r1"):
        raise InputError("is not a key on the curve P-256", where=where, fix=fix)
    return key
