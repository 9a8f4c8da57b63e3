"""A sealing key counts with its site's signature, and no other."""

from __future__ import annotations

import json

import pytest

from clinical_qkt.core.errors import InputError, OutputError
from clinical_qkt.exchange.sealing_keys import new_sealing_key, read_private, read_public
from clinical_qkt.packages.key_files import PASSPHRASE, new_key


@pytest.fixture
def keys(tmp_path):
    for site in ("north", "south"):
        new_key(site, tmp_path)
        new_sealing_key(site, tmp_path / f"{site}.sealing", tmp_path / f"{site}.key")
    return tmp_path


def test_a_public_key_is_that_of_the_private_one_and_nobody_else_reads_the_latter(keys):
    public = read_public("north", keys / "north.sealing.pub", keys / "north.pub")
    private = read_private(keys / "north.sealing")
    assert public.public_bytes_raw() == private.public_key().public_bytes_raw()
    assert (keys / "north.sealing").stat().st_mode & 0o077 == 0


def test_somebody_elses_key_under_a_name_is_refused(keys):
    with pytest.raises(InputError, match="is the sealing key of 'south'"):
        read_public("north", keys / "south.sealing.pub", keys / "north.pub")
    told = json.loads((keys / "south.sealing.pub").read_text())
    (keys / "forged.pub").write_text(json.dumps({**told, "site": "north"}))
    with pytest.raises(InputError, match="is not signed with the key that this site trusts"):
        read_public("north", keys / "forged.pub", keys / "north.pub")


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format": "clinical-qkt/sealing-key/2"}'])
def test_what_is_no_public_key_is_refused(keys, text):
    (keys / "x.pub").write_text(text)
    with pytest.raises(InputError, match="is no public sealing key"):
        read_public("north", keys / "x.pub", keys / "north.pub")


def test_keys_are_never_overwritten(keys):
    with pytest.raises(OutputError, match="is there already"):
        new_sealing_key("north", keys / "north.sealing", keys / "north.key")


def test_the_passphrase_of_the_signing_key_locks_the_sealing_key_too(tmp_path, monkeypatch):
    monkeypatch.setenv(PASSPHRASE, "correct horse")
    new_key("north", tmp_path, "correct horse")
    new_sealing_key("north", tmp_path / "north.sealing", tmp_path / "north.key")
    assert read_private(tmp_path / "north.sealing")
    monkeypatch.delenv(PASSPHRASE)
    with pytest.raises(InputError, match="is locked and the passphrase does not fit"):
        read_private(tmp_path / "north.sealing")
    with pytest.raises(InputError, match="is no sealing key"):
        new_key("south", tmp_path)
        read_private(tmp_path / "south.key")
