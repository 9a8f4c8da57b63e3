"""A mailbox behaves the same on a disk, in memory and on a server that speaks S3."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from clinical_qkt.core.errors import InputError, OutputError
from clinical_qkt.core.files import sha256
from clinical_qkt.exchange.carriers.folder import Folder, Waiting


@pytest.fixture(params=["path", "memory", "s3"])
def mailbox(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An address."""
    if request.param == "path":
        yield str(tmp_path / "mailbox")
    elif request.param == "memory":
        yield f"memory://{tmp_path.name}/mailbox"
    else:
        yield from _s3(monkeypatch)


def _s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket on moto's server, on loopback."""
    if not all(importlib.util.find_spec(name) for name in ("moto", "s3fs", "flask")):
        pytest.skip("moto[server] and s3fs are not installed")
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    for name, value in {
        "AWS_ACCESS_KEY_ID": "nobody",
        "AWS_SECRET_ACCESS_KEY": "nothing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "FSSPEC_S3_ENDPOINT_URL": f"http://127.0.0.1:{port}",
    }.items():
        monkeypatch.setenv(name, value)
    fsspec.config.set_conf_env(fsspec.config.conf, os.environ)
    fsspec.filesystem("s3").mkdir("consortium")
    yield "s3://consortium/mailbox"
    server.stop()
    fsspec.config.conf.pop("s3", None)


@pytest.fixture
def parcel(tmp_path: Path) -> Path:
    path = tmp_path / "a.parcel"
    path.write_bytes(os.urandom(70_000))
    return path


def test_a_parcel_goes_in_once_comes_out_whole_and_is_gone_when_it_was_taken_out(mailbox, parcel, tmp_path):
    here, there = Folder(mailbox, "north"), Folder(mailbox, "south")
    here.put("south", parcel)
    here.put("south", parcel)
    assert here.waiting() == []
    (found,) = there.waiting()
    assert found == Waiting(f"{sha256(parcel)}.parcel", 70_000)
    there.fetch(found, tmp_path / "got")
    assert (tmp_path / "got").read_bytes() == parcel.read_bytes()
    there.remove(found)
    there.remove(found)
    assert there.waiting() == []


def test_what_else_lies_in_a_mailbox_is_passed_over(tmp_path, parcel):
    mailbox = tmp_path / "mailbox"
    for name in ("notes.txt", "x.parcel", f".{'a' * 64}.parcel", f"{'A' * 64}.parcel"):
        (mailbox / "south").mkdir(parents=True, exist_ok=True)
        (mailbox / "south" / name).write_text("x")
    (mailbox / "south" / f"{'a' * 64}.parcel").mkdir()
    assert Folder(str(mailbox), "south").waiting() == []


def test_no_more_is_fetched_than_was_announced(tmp_path, parcel):
    here = Folder(str(tmp_path / "mailbox"), "south")
    here.put("south", parcel)
    (found,) = here.waiting()
    here.fetch(Waiting(found.name, 100), tmp_path / "got")
    assert (tmp_path / "got").stat().st_size == 100


def test_a_spool_keeps_apart_what_goes_and_what_comes(tmp_path, parcel):
    spool = Folder.of_spool(tmp_path / "spool")
    spool.put("south", parcel)
    assert [p.parent.name for p in tmp_path.glob("spool/out/*/*.parcel")] == ["south"] and not spool.waiting()
    (tmp_path / "spool" / "in").mkdir()
    parcel.rename(tmp_path / "spool" / "in" / f"{'b' * 64}.parcel")
    assert len(spool.waiting()) == 1


@pytest.mark.parametrize("address", ["nowhere://x", "s4://bucket"])
def test_an_address_that_nobody_knows_is_refused_with_what_to_install(address):
    with pytest.raises(InputError, match="exchange: folder"):
        Folder(address, "south")


def test_a_mailbox_that_is_not_there_is_told_in_a_sentence(tmp_path, parcel):
    (tmp_path / "mailbox").write_text("in the way")
    with pytest.raises(OutputError, match="cannot be reached"):
        Folder(str(tmp_path / "mailbox"), "north").put("south", parcel)
