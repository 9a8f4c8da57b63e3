"""Signatures: who vouches for a package. The keys are in ``key_files``, whom a site trusts in ``trust``.

Signatures are OpenSSF model signatures in key mode (library model-signing; a Sigstore bundle over the digests
of all files, ECDSA on the curve P-256): made and checked offline. ``model_signing verify key`` checks one
without this software.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from clinical_qkt.packages.key_files import PASSPHRASE as PASSPHRASE
from clinical_qkt.packages.key_files import fingerprint as fingerprint
from clinical_qkt.packages.key_files import given_passphrase
from clinical_qkt.packages.key_files import new_key as new_key
from clinical_qkt.packages.key_files import require_private_key as require_private_key
from clinical_qkt.packages.trust import Signed as Signed
from clinical_qkt.packages.trust import Trust as Trust

SIGNATURE = "package.sig"


class BadSignature(Exception):
    """A signature is there and does not hold; the message says why."""


class AnotherKey(BadSignature):
    """It was made with another key than the one that is trusted."""


def sign(folder: Path, private_key: Path) -> None:
    """Write ``SIGNATURE`` over all other files of a folder.

    Raises:
        InputError: the key cannot be used.
    """
    require_private_key(private_key)
    folder = folder.resolve()
    signing, _ = _library()
    config = signing.Config().use_elliptic_key_signer(private_key=private_key, password=given_passphrase())
    # The signature holds the folder's name, and that may tell something: it is signed under another.
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".signing.") as aside:
        named = Path(aside) / "package"
        shutil.copytree(folder, named, copy_function=_linked)
        (named / SIGNATURE).unlink(missing_ok=True)
        config.set_hashing_config(_hashing()).sign(named, folder / SIGNATURE)


def check(folder: Path, public_key: Path, files: set[str]) -> None:
    """Check the signature over exactly the named files, which have to be all that the folder holds beside it.

    Raises:
        BadSignature: it is not made with that key, not of these files, or not written as this software does.
        InputError: the public key cannot be used.
    """
    trusted = fingerprint(public_key, f"trusted_keys: {public_key}")
    _, verifying = _library()
    path = folder.resolve() / SIGNATURE
    try:
        raw = path.read_bytes()
        bundle = json.loads(raw)
        if raw != _canonical(bundle):
            raise BadSignature("is not written in the one form that this software reads")
        if read_fingerprint(folder) != trusted:
            raise AnotherKey("was made with another key than the one that is trusted for the sender")
        config = verifying.Config().use_elliptic_key_verifier(public_key=public_key)
        config.set_hashing_config(_hashing()).verify(path.parent, path)
        signed = _signed_files(bundle)
    except BadSignature:
        raise
    except Exception:  # whatever a parser says of hostile bytes, the signature does not hold
        raise BadSignature("does not fit the package: it was changed after it was signed") from None
    if signed != files:
        raise BadSignature("is of other files than the package holds")


def read_fingerprint(folder: Path) -> str | None:
    """Which key a signature says it was made with; unproven. None if it does not say."""
    try:
        bundle = json.loads((folder / SIGNATURE).read_bytes())
        hint = bundle["verificationMaterial"]["publicKey"]["hint"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return hint if isinstance(hint, str) and len(hint) == 64 and hint.isalnum() and hint.isascii() else None


def _linked(source: str, to: str) -> None:
    """A second name for a file, or a copy where the file system has no such thing."""
    try:
        os.link(source, to)
    except OSError:
        shutil.copyfile(source, to)


@cache
def _library() -> tuple[Any, Any]:
    """model-signing, imported on first use: it brings much along."""
    from model_signing import signing, verifying

    return signing, verifying


def _hashing() -> Any:
    """Of all files but the signature; named within the folder, since what is left out is written into it."""
    from model_signing import hashing

    config = hashing.Config().use_file_serialization(hashing_algorithm="sha256")
    return config.set_ignored_paths(paths=[SIGNATURE], ignore_git_paths=False)


def _canonical(bundle: Any) -> bytes:
    """A signature written anew from the parts that count: what differs from it holds something unsigned."""
    envelope = bundle["dsseEnvelope"]
    given = envelope["payload"], envelope["signatures"][0]["sig"]
    payload, made = (base64.b64decode(v, validate=True) for v in given)
    parts = {
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": {
            "publicKey": {"hint": bundle["verificationMaterial"]["publicKey"]["hint"]},
            "tlogEntries": [],
        },
        "dsseEnvelope": {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": "application/vnd.in-toto+json",
            "signatures": [{"sig": base64.b64encode(made).decode(), "keyid": ""}],
        },
    }
    return json.dumps(parts, separators=(",", ":")).encode()


def _signed_files(bundle: Any) -> set[str]:
    """The files that a signature, found to be good, is of."""
    payload = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
    return {resource["name"] for resource in payload["predicate"]["resources"]}
