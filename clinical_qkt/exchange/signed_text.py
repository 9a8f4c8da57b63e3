"""A site's signature under a few bytes, with the key that it signs packages with: ECDSA on P-256, SHA-256."""

from __future__ import annotations

import base64
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from clinical_qkt.packages.key_files import fingerprint, given_passphrase, require_private_key

_HOW = ec.ECDSA(hashes.SHA256())


def sign(text: bytes, private_key: Path, purpose: bytes) -> str:
    """A signature, in base64.

    Args:
        purpose: signed along, so that what is signed for one purpose proves nothing for another.

    Raises:
        InputError: the key cannot be used.
    """
    require_private_key(private_key)
    key = serialization.load_pem_private_key(private_key.read_bytes(), given_passphrase())
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return base64.b64encode(key.sign(purpose + b"\n" + text, _HOW)).decode()


def holds(text: bytes, signature: str, public_key: Path, purpose: bytes) -> bool:
    """Whether a signature is that key's under this text and for this purpose.

    Raises:
        InputError: the public key cannot be used.
    """
    fingerprint(public_key, f"trusted_keys: {public_key}")  # refuses what is no key on P-256
    key = serialization.load_pem_public_key(public_key.read_bytes())
    assert isinstance(key, ec.EllipticCurvePublicKey)
    try:
        key.verify(base64.b64decode(signature, validate=True), purpose + b"\n" + text, _HOW)
    except (InvalidSignature, ValueError):
        return False
    return True
