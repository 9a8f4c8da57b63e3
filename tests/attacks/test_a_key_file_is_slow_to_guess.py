"""Promise: who finds a locked key file pays 600,000 rounds for each guess at its passphrase."""

from __future__ import annotations

from pathlib import Path

import pytest
from asn1crypto import keys, pem
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from clinical_qkt.exchange.sealing_keys import new_sealing_key
from clinical_qkt.packages.signing import PASSPHRASE, check, new_key, require_private_key, sign

ROUNDS = 600_000


def rounds(key: Path) -> int:
    """What a guesser reads in the file's head."""
    head = keys.EncryptedPrivateKeyInfo.load(pem.unarmor(key.read_bytes())[2])["encryption_algorithm"]
    derived = head["parameters"]["key_derivation_func"]
    assert head["algorithm"].native == "pbes2" and derived["algorithm"].native == "pbkdf2"
    assert derived["parameters"]["prf"]["algorithm"].native == "sha256"
    return int(derived["parameters"]["iteration_count"].native)


def test_a_guess_at_a_passphrase_takes_600000_rounds(tmp_path):
    assert rounds(new_key("a", tmp_path, "open sesame")[0]) >= ROUNDS


def test_a_guess_at_a_sealing_keys_passphrase_takes_as_many(tmp_path, monkeypatch):
    monkeypatch.setenv(PASSPHRASE, "open sesame")
    new_key("a", tmp_path, "open sesame")
    new_sealing_key("a", tmp_path / "a.sealing", tmp_path / "a.key")
    assert rounds(tmp_path / "a.sealing") >= ROUNDS


@pytest.mark.slow
def test_two_keys_with_one_passphrase_are_guessed_one_by_one(tmp_path):
    locked = [new_key(name, tmp_path, "open sesame")[0].read_bytes() for name in ("a", "b")]
    heads = [keys.EncryptedPrivateKeyInfo.load(pem.unarmor(raw)[2])["encryption_algorithm"] for raw in locked]
    assert heads[0].dump() != heads[1].dump()  # another salt


def test_a_key_that_was_locked_by_an_earlier_version_still_signs(tmp_path, monkeypatch):
    key, public = ec.generate_private_key(ec.SECP256R1()), serialization.PublicFormat.SubjectPublicKeyInfo
    lock = serialization.BestAvailableEncryption(b"open sesame")
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, lock
    (tmp_path / "old.key").write_bytes(key.private_bytes(*form))
    (tmp_path / "old.pub").write_bytes(key.public_key().public_bytes(form[0], public))
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "card.json").write_text("{}")
    monkeypatch.setenv(PASSPHRASE, "open sesame")
    require_private_key(tmp_path / "old.key")
    sign(tmp_path / "p", tmp_path / "old.key")
    check(tmp_path / "p", tmp_path / "old.pub", {"card.json"})


@pytest.mark.parametrize(
    "phrase",
    [
        "ä ö 漢字 🗝",
        pytest.param("x", marks=pytest.mark.slow),
        pytest.param("a" * 200, marks=pytest.mark.slow),
    ],
)
def test_any_passphrase_opens_what_it_locked_and_nothing_else_does(tmp_path, monkeypatch, phrase):
    key = new_key("a", tmp_path, phrase)[0]
    opened = serialization.load_pem_private_key(key.read_bytes(), phrase.encode())
    assert isinstance(opened, ec.EllipticCurvePrivateKey)
    with pytest.raises(ValueError):  # as the library says it
        serialization.load_pem_private_key(key.read_bytes(), phrase.encode() + b"x")
