"""The record of what a site wrote itself."""

from __future__ import annotations

import os
from multiprocessing import get_context
from pathlib import Path

import pytest

from clinical_qkt.core.errors import OutputError
from clinical_qkt.core.files import sha256
from clinical_qkt.packages import made_here


@pytest.fixture
def card(tmp_path: Path) -> Path:
    (tmp_path / "card.json").write_text("{}")
    return tmp_path / "card.json"


def umask() -> int:
    held = os.umask(0)
    os.umask(held)
    return held


def test_a_line_in_either_place_is_enough(card, tmp_path, monkeypatch):
    monkeypatch.setenv("CLINICAL_QKT_STATE", str(tmp_path / "state"))
    record = made_here.places("us", tmp_path / "out")
    assert made_here.cards(record) == frozenset()
    made_here.note(record, card)
    for one in record:
        assert made_here.cards([one]) == {sha256(card)}
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "out" / made_here.FILE).stat().st_mode & 0o077 == 0o666 & ~umask() & 0o077


def test_sites_of_one_computer_have_records_of_their_own(card, tmp_path, monkeypatch):
    monkeypatch.setenv("CLINICAL_QKT_STATE", str(tmp_path / "state"))
    made_here.note(made_here.places("us", tmp_path / "a"), card)
    assert made_here.cards(made_here.places("them", tmp_path / "b")) == frozenset()


def test_one_place_that_cannot_be_written_to_is_told_and_two_end_the_stage(card, tmp_path, capsys):
    (tmp_path / "file").touch()
    bad, good = tmp_path / "file" / "record.txt", tmp_path / "good" / "record.txt"
    made_here.note([bad, good], card)
    assert made_here.cards([good]) == {sha256(card)}
    assert "warning: the record of what was made here cannot be kept in" in capsys.readouterr().err
    with pytest.raises(OutputError, match="the record of what was made here cannot be used"):
        made_here.note([bad], card)


def test_a_record_that_is_a_folder_is_told(tmp_path):
    with pytest.raises(OutputError, match="cannot be used"):
        made_here.cards([tmp_path])


def test_a_file_that_others_dug_up_is_read_line_by_line(card, tmp_path):
    file, digest = tmp_path / "record.txt", sha256(card)
    whole = f"{digest}  card 2026-11-26"
    lines = ["", "#", digest, digest.upper() + whole[64:], whole + " ", "x" + whole, "\0" * 50, whole[:-1]]
    file.write_text("\n".join(lines), encoding="utf-8")
    assert made_here.cards([file]) == frozenset()
    file.write_bytes(file.read_bytes() + b"\xff\n" + whole.encode() + b"\n")
    assert made_here.cards([file]) == {digest}


def _write(file: Path, card: Path) -> None:
    for _ in range(50):
        made_here.note([file], card)


def test_two_processes_do_not_write_into_each_others_lines(card, tmp_path):
    file = tmp_path / "record.txt"
    others = [get_context("fork").Process(target=_write, args=(file, card)) for _ in range(2)]
    for process in others:
        process.start()
    for process in others:
        process.join()
    assert file.read_text().splitlines() == file.read_text().splitlines()[:1] * 100
