import base64
import json
import shutil

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clinical_qkt.core.errors import InputError, OutputError
from clinical_qkt.packages.signing import (
    SIGNATURE,
    BadSignature,
    check,
    fingerprint,
    new_key,
    read_fingerprint,
    sign,
)

FILES = {"card.json": b'{"a": 1}\n', "model.safetensors": bytes(range(40)), "SHA256SUMS": b"00  card.json\n"}


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keys")
    return {name: new_key(name, folder)[:2] for name in ("a", "b")}


@pytest.fixture(scope="module")
def signed(keys, tmp_path_factory):
    folder = tmp_path_factory.mktemp("signed") / "ward_7"
    folder.mkdir()
    for name, raw in FILES.items():
        (folder / name).write_bytes(raw)
    sign(folder, keys["a"][0])
    return folder


def test_a_signature_holds_for_its_own_key_and_for_no_other(signed, keys):
    check(signed, keys["a"][1], set(FILES))
    assert read_fingerprint(signed) == fingerprint(keys["a"][1])
    with pytest.raises(BadSignature, match="another key"):
        check(signed, keys["b"][1], set(FILES))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_changed_byte_breaks_it(signed, keys, tmp_path, data):
    name = data.draw(st.sampled_from([*FILES, SIGNATURE]))
    shutil.rmtree(tmp_path / "p", ignore_errors=True)
    shutil.copytree(signed, tmp_path / "p")
    raw = bytearray((signed / name).read_bytes())
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    (tmp_path / "p" / name).write_bytes(raw)
    with pytest.raises(BadSignature):
        check(tmp_path / "p", keys["a"][1], set(FILES))


def test_no_file_more_and_none_less_is_signed(signed, keys, tmp_path):
    shutil.copytree(signed, tmp_path / "p")
    (tmp_path / "p" / ".gitignore").write_text("x")
    with pytest.raises(BadSignature):
        check(tmp_path / "p", keys["a"][1], set(FILES))
    (tmp_path / "p" / ".gitignore").unlink()
    with pytest.raises(BadSignature, match="other files"):
        check(tmp_path / "p", keys["a"][1], {"card.json"})


def test_it_tells_nothing_of_the_folder_however_that_is_named(signed, keys, tmp_path, monkeypatch):
    """A relative path would otherwise stand in the signature."""
    secret = tmp_path / "jane_doe" / "package"
    shutil.copytree(signed, secret)
    for where, named in ((tmp_path, "jane_doe/package"), (secret, "."), (secret, str(secret))):
        monkeypatch.chdir(where)
        sign(type(tmp_path)(named), keys["a"][0])
        check(type(tmp_path)(named), keys["a"][1], set(FILES))
        payload = json.loads((secret / SIGNATURE).read_bytes())["dsseEnvelope"]["payload"]
        told = base64.b64decode(payload)
        assert b"jane_doe" not in told and b".signing" not in told
    assert {p.name for p in secret.iterdir()} == {*FILES, SIGNATURE}


def test_a_hint_that_is_left_out_is_missed(signed, keys, tmp_path):
    shutil.copytree(signed, tmp_path / "p")
    raw = (signed / SIGNATURE).read_bytes()
    (tmp_path / "p" / SIGNATURE).write_bytes(raw.replace(fingerprint(keys["a"][1]).encode(), b""))
    with pytest.raises(BadSignature, match="another key"):
        check(tmp_path / "p", keys["a"][1], set(FILES))


def test_keys_are_kept_from_others_and_never_overwritten(tmp_path):
    private, public, mark = new_key("a", tmp_path)
    assert private.stat().st_mode & 0o777 == 0o600 and fingerprint(public) == mark
    before = private.read_bytes()
    with pytest.raises(OutputError, match="there already"):
        new_key("a", tmp_path)
    assert private.read_bytes() == before


def test_a_locked_key_needs_its_passphrase(signed, tmp_path, monkeypatch):
    shutil.copytree(signed, tmp_path / "p")
    private, public, _ = new_key("a", tmp_path, "open sesame")
    for phrase in (None, "wrong"):
        monkeypatch.delenv("CLINICAL_QKT_PASSPHRASE", raising=False)
        if phrase:
            monkeypatch.setenv("CLINICAL_QKT_PASSPHRASE", phrase)
        with pytest.raises(InputError, match="passphrase"):
            sign(tmp_path / "p", private)
    monkeypatch.setenv("CLINICAL_QKT_PASSPHRASE", "open sesame")
    sign(tmp_path / "p", private)
    check(tmp_path / "p", public, set(FILES))


@pytest.mark.parametrize("content", [b"", b"\xff" * 10, b"-----BEGIN PUBLIC KEY-----\nAAAA"])
def test_what_is_no_key_is_the_sites_own_mistake(signed, tmp_path, content):
    (tmp_path / "a.pub").write_bytes(content)
    with pytest.raises(InputError, match="no public key"):
        check(signed, tmp_path / "a.pub", set(FILES))
    with pytest.raises(InputError, match="cannot be read"):
        check(signed, tmp_path / "none.pub", set(FILES))
