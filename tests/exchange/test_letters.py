"""Letters prove who wrote them, and bring nothing but what they say."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import pytest

from clinical_qkt.core.errors import InputError, PackageError
from clinical_qkt.exchange import letters, signed_text
from clinical_qkt.exchange.letters import (
    Ask,
    Reply,
    UnknownSender,
    now,
    read_letter,
    sent_files,
    write_letter,
)
from clinical_qkt.packages.key_files import new_key
from tests.exchange.world import package


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    for name in ("north", "south"):
        new_key(name, tmp_path / "keys")
    return tmp_path / "keys"


@pytest.fixture
def query(tmp_path: Path) -> Path:
    return package(tmp_path / "query", "query", "north", "extractor.safetensors")


def ask(query: Path, **changes) -> Ask:
    values = {
        "exchange": "a" * 32,
        "sender": "north",
        "receiver": "south",
        "sent": now(),
        "files": sent_files(query),
        "wants": "statistics",
        "classes": ["basophil"],
        "about": "b" * 64,
        "deadline": now() + datetime.timedelta(days=3),
    }
    return Ask.model_validate(values | changes)


def read(content: Path, letter, keys: Path, to: Path):
    return read_letter(content, letter.envelope, "south", {"north": keys / "north.pub"}, to)


def test_a_letter_arrives_as_it_was_written_with_its_files(tmp_path, keys, query):
    letter = ask(query)
    identity = write_letter(tmp_path / "content", letter, keys / "north.key", query)
    found, text = read(tmp_path / "content", letter, keys, tmp_path / "got")
    assert found == letter and letters.letter_id(text) == identity
    assert {p.name: p.read_bytes() for p in (tmp_path / "got").iterdir()} == {
        p.name: p.read_bytes() for p in query.iterdir()
    }


def test_a_letter_of_another_than_the_sender_is_refused(tmp_path, keys, query):
    letter = ask(query)
    write_letter(tmp_path / "content", letter, keys / "south.key", query)
    with pytest.raises(PackageError, match="is not signed by 'north'"):
        read(tmp_path / "content", letter, keys, tmp_path / "got")
    assert not (tmp_path / "got").exists()


def test_a_signature_of_another_kind_of_text_proves_no_letter(tmp_path, keys, query):
    letter = ask(query)
    text = letter.model_dump_json()
    signature = signed_text.sign(text.encode(), keys / "north.key", b"clinical-qkt/sealing-key/1")
    head = json.dumps({"letter": text, "signature": signature}).encode()
    (tmp_path / "content").write_bytes(len(head).to_bytes(8, "big") + head)
    with pytest.raises(PackageError, match="is not signed"):
        read(tmp_path / "content", letter, keys, tmp_path / "got")


def test_a_site_whose_key_is_not_held_is_told_apart(tmp_path, keys, query):
    letter = ask(query)
    write_letter(tmp_path / "content", letter, keys / "north.key", query)
    with pytest.raises(UnknownSender):
        read_letter(tmp_path / "content", letter.envelope, "south", {}, tmp_path / "got")


def test_a_file_that_is_not_the_letters_is_refused_and_outside_and_inside_agree(tmp_path, keys, query):
    letter = ask(query)
    write_letter(tmp_path / "content", letter, keys / "north.key", query)
    raw = (tmp_path / "content").read_bytes()
    (tmp_path / "content").write_bytes(raw[:-1] + b"?")
    with pytest.raises(PackageError, match="not the one of the letter"):
        read(tmp_path / "content", letter, keys, tmp_path / "got")
    (tmp_path / "content").write_bytes(raw)
    other = letter.envelope.model_copy(update={"exchange": "c" * 32})
    with pytest.raises(PackageError, match="something else outside than inside"):
        read_letter(tmp_path / "content", other, "south", {"north": keys / "north.pub"}, tmp_path / "g")
    (tmp_path / "content").write_bytes(raw[:-5])
    with pytest.raises(PackageError, match="is cut off"):
        read(tmp_path / "content", letter, keys, tmp_path / "again")


@pytest.mark.parametrize(
    "change, problem",
    [
        ({"files": [{"name": "../../x", "bytes": 1, "sha256": "a" * 64}]}, "name"),
        ({"files": [{"name": "run.py", "bytes": 1, "sha256": "a" * 64}]}, "name"),
        ({"format": "clinical-qkt/letter/2"}, "another version"),
        ({"classes": ["@evil"]}, "expression of a MONAI config"),
        ({"sender": "north\n"}, "sender"),
        ({"command": "rm"}, "command"),
        ({"kind": "order"}, "kind"),
    ],
)
def test_what_a_letter_may_not_say_is_refused_though_its_sender_signs_it(
    tmp_path, keys, query, change, problem
):
    said = json.loads(ask(query).model_dump_json()) | change
    text = json.dumps(said)
    signature = signed_text.sign(text.encode(), keys / "north.key", letters.PURPOSE)
    head = json.dumps({"letter": text, "signature": signature}).encode()
    (tmp_path / "content").write_bytes(len(head).to_bytes(8, "big") + head)
    with pytest.raises(PackageError, match=problem):
        read(tmp_path / "content", ask(query), keys, tmp_path / "got")


def test_a_folder_that_is_no_package_is_not_sent(query):
    (query / ".DS_Store").write_text("")
    with pytest.raises(InputError, match="belongs to no package"):
        sent_files(query)


def test_a_reply_has_a_package_or_a_reason(query):
    about = {"exchange": "a" * 32, "sender": "a", "receiver": "b", "sent": now(), "about": "b" * 64}
    assert Reply(**about, declined="no").declined and Reply(**about, files=sent_files(query)).files
    for wrong in ({}, {"declined": "no", "files": sent_files(query)}):
        with pytest.raises(ValueError, match="either a package or a reason"):
            Reply(**about, **wrong)
