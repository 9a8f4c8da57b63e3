"""Files are whole, and what tells about patients is for its owner's eyes alone, whatever the umask."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from clinical_qkt.core.files import (
    as_umask_says,
    copy_private,
    private_file,
    private_folder,
    write_json,
    write_text,
    write_whole,
)

UMASKS = (0o000, 0o022, 0o027, 0o077)


@pytest.fixture(params=UMASKS, ids=[f"{u:03o}" for u in UMASKS])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_file_gets_what_the_umask_leaves_and_a_private_one_is_its_owner_s_alone(tmp_path, umask):
    write_text(tmp_path / "a.txt", "a")
    write_json(tmp_path / "b.json", {"b": 1}, private=True)
    write_whole(tmp_path / "c", lambda part: part.write_bytes(b"c"), private=True)
    assert mode(tmp_path / "a.txt") == 0o666 & ~umask
    assert mode(tmp_path / "b.json") == mode(tmp_path / "c") == 0o600
    assert {p.name for p in tmp_path.iterdir()} == {"a.txt", "b.json", "c"}


def test_a_file_that_was_open_is_closed_when_it_is_written_again(tmp_path, umask):
    (tmp_path / "d.json").write_text("{}")
    (tmp_path / "d.json").chmod(0o666)
    write_json(tmp_path / "d.json", {}, private=True)
    assert mode(tmp_path / "d.json") == 0o600


def test_a_writer_that_makes_a_new_file_does_not_change_who_may_read_it(tmp_path, umask):
    def anew(part: Path) -> None:
        part.unlink()
        part.write_text("x")
        part.chmod(0o777)

    write_whole(tmp_path / "a", anew)
    write_whole(tmp_path / "b", anew, private=True)
    assert mode(tmp_path / "a") == 0o666 & ~umask and mode(tmp_path / "b") == 0o600


def test_nobody_else_may_read_a_private_file_while_it_is_written(tmp_path, umask):
    seen = []
    write_whole(tmp_path / "a", lambda part: seen.append(mode(part)), private=True)
    assert seen == [0o600]


def test_a_failed_writing_leaves_the_old_file_and_nothing_beside_it(tmp_path):
    write_text(tmp_path / "a", "old")
    with pytest.raises(ZeroDivisionError):
        write_whole(tmp_path / "a", lambda part: 1 / 0)
    assert [p.name for p in tmp_path.iterdir()] == ["a"] and (tmp_path / "a").read_text() == "old"


def test_private_places_are_made_closed_and_closed_if_they_are_open(tmp_path, umask):
    assert mode(private_folder(tmp_path / "new" / "local")) == 0o700
    assert mode(tmp_path / "new") == 0o777 & ~umask
    (tmp_path / "old").mkdir()
    (tmp_path / "old").chmod(0o755)
    assert mode(private_folder(tmp_path / "old")) == 0o700
    assert mode(private_file(tmp_path / "l.db")) == 0o600
    (tmp_path / "l.db").write_text("kept")
    (tmp_path / "l.db").chmod(0o644)
    assert mode(private_file(tmp_path / "l.db")) == 0o600 and (tmp_path / "l.db").read_text() == "kept"


def test_a_group_that_somebody_let_write_keeps_its_right(tmp_path):
    (tmp_path / "l.db").write_text("")
    (tmp_path / "l.db").chmod(0o666)
    assert mode(private_file(tmp_path / "l.db")) == 0o660


def test_a_copy_of_an_image_is_private_though_the_image_is_not(tmp_path, umask):
    (tmp_path / "a.png").write_bytes(b"x")
    (tmp_path / "a.png").chmod(0o644)
    copy_private(tmp_path / "a.png", tmp_path / "b.png")
    assert mode(tmp_path / "b.png") == 0o600 and (tmp_path / "b.png").read_bytes() == b"x"


def test_a_folder_made_in_secret_is_opened_as_far_as_the_umask_says(tmp_path, umask):
    folder = tmp_path / "p"
    folder.mkdir(mode=0o700)
    private_file(folder / "card.json")
    as_umask_says(folder)
    assert mode(folder) == 0o777 & ~umask and mode(folder / "card.json") == 0o666 & ~umask
    shutil.rmtree(folder)
