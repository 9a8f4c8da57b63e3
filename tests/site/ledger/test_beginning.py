"""A ledger begins in so many words and once, is noticed when it is older, and can be made whole."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
from pathlib import Path

import pytest
import yaml

from clinical_qkt.core.errors import InputError, OutputError
from clinical_qkt.core.state_folder import ledger_of, state_folder
from clinical_qkt.privacy.mechanisms import Guarantee
from clinical_qkt.site.config import Site, check_site
from clinical_qkt.site.ledger import beginning, second_place
from clinical_qkt.site.ledger.beginning import mend, require_begun
from clinical_qkt.site.ledger.ledger import Ledger, Requested
from tests.conftest import run

ONE, TOTAL = Guarantee(1.0, 1e-5), Guarantee(4.0, 1e-5)
IMAGES = [f"{i:064d}" for i in range(40)]


def site(folder: Path, name: str = "us", ledger: Path | None = None) -> Site:
    places = dict.fromkeys(("package_dir", "query_dir", "transfer_dir"), "x")
    about = {"site": name, "data": "d.json", "classes": ["a", "b"], "output_dir": str(folder)}
    return check_site({**about, **places, "ledger": str(ledger or ledger_of(name))}, "us.yaml")


def spend(ledger: Ledger, n: int = 0, **changes) -> object:
    facts = {"site": "them", "query_sha256": f"{n:064d}", "label": "a", "kind": "private_mean"}
    asked = Requested(**{**facts, "data_sha256": "d", "own_site": "us", "own_class": "a", **changes})
    return ledger.release(asked, ONE, TOTAL, lambda: {"total": [n]})


def begun(us: Site, *, spent: int = 0, images=IMAGES) -> Ledger:
    """A ledger that was begun and has answered some questions."""
    ledger = Ledger(us.ledger)
    require_begun(us, ledger, images, new=True, yes=True)
    second_place.note(us.site, images, ledger.begin(), ledger.path)
    for n in range(spent):
        spend(ledger, n)
    return ledger


def test_nobody_s_yes_begins_a_ledger(tmp_path):
    us = site(tmp_path)
    with pytest.raises(InputError, match="has no ledger yet") as e:
        require_begun(us, Ledger(us.ledger), yes=True)
    assert "--new_ledger true" in e.value.fix and not us.ledger.exists()


@pytest.mark.parametrize("said", [True, False])
def test_whoever_sits_there_is_asked_in_so_many_words(tmp_path, monkeypatch, said, capsys):
    questions = []
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr(
        beginning.Confirm, "ask", lambda q, **how: questions.append((str(q), how["default"])) or said
    )
    us = site(tmp_path)
    if said:
        require_begun(us, Ledger(us.ledger))
    else:
        with pytest.raises(InputError, match="no ledger was begun; nothing was written"):
            require_begun(us, Ledger(us.ledger))
    assert Ledger(us.ledger).is_begun() is said
    ((question, default),) = questions
    assert "never answered before" in question and default is False
    assert "nothing counts what it tells" in capsys.readouterr().err


def test_the_words_that_begin_a_ledger_begin_no_second_one(tmp_path):
    us = site(tmp_path)
    ledger = begun(us, spent=1)
    require_begun(
        us, ledger, IMAGES, question=f"{0:064d}", new=True, yes=True
    )  # the command that was cut off
    with pytest.raises(InputError, match="there is a ledger already, and it goes on counting"):
        require_begun(us, ledger, IMAGES, question=f"{1:064d}", new=True, yes=True)


def test_another_file_for_the_same_site_is_refused_and_the_first_one_named(tmp_path):
    first = begun(site(tmp_path), spent=1)
    us = site(tmp_path, ledger=tmp_path / "other.db")
    with pytest.raises(InputError, match="answers of this site are counted in another ledger") as e:
        require_begun(us, Ledger(us.ledger), IMAGES, new=True, yes=True)
    assert str(first.path) in e.value.fix and not us.ledger.exists()


def test_a_ledger_may_be_moved_but_not_be_in_two_places(tmp_path):
    first = begun(site(tmp_path), spent=2)
    shutil.copy(first.path, tmp_path / "moved.db")
    us = site(tmp_path, ledger=tmp_path / "moved.db")
    moved = Ledger(us.ledger)
    require_begun(us, moved, IMAGES, yes=True)
    spend(moved, 2)
    with pytest.raises(OutputError, match="is older than it was: a line is missing"):
        spend(first, 3)


def test_the_same_images_under_another_pseudonym_are_known(tmp_path):
    begun(site(tmp_path), spent=1)
    them = site(tmp_path, "them")
    with pytest.raises(InputError, match="answers of these images, under whatever pseudonym, are counted in"):
        require_begun(them, Ledger(them.ledger), IMAGES[5:], new=True, yes=True)
    require_begun(them, Ledger(them.ledger), ["f" * 64, IMAGES[0]], new=True, yes=True)  # a black frame


def test_two_sites_may_share_a_ledger_and_its_budget(tmp_path):
    us = site(tmp_path)
    ledger = begun(us, spent=1)
    them = site(tmp_path, "them", ledger=us.ledger)
    require_begun(them, Ledger(them.ledger), IMAGES, yes=True)
    spend(Ledger(them.ledger), 1)
    assert ledger.spent(1e-5) > 1.4


def test_a_ledger_of_an_earlier_version_among_the_results_is_not_passed_over(tmp_path):
    us = site(tmp_path)
    earlier = Ledger(tmp_path / "ledger.db")
    earlier.begin()
    spend(earlier)
    with pytest.raises(InputError, match="an earlier version has kept this site's ledger there") as e:
        require_begun(us, Ledger(us.ledger), IMAGES, new=True, yes=True)
    assert str(earlier.path) in e.value.fix


def older(ledger: Ledger, folder: Path) -> None:
    shutil.copy(folder / "backup", ledger.path)


def lost(ledger: Ledger, folder: Path) -> None:
    ledger.path.unlink()


@pytest.mark.parametrize("happened", [older, lost])
def test_an_older_or_lost_ledger_is_refused_until_it_is_made_whole(tmp_path, happened, capsys):
    us = site(tmp_path)
    ledger = begun(us, spent=1)
    shutil.copy(ledger.path, tmp_path / "backup")
    spend(ledger, 1)
    before = ledger.lines()
    happened(ledger, tmp_path)
    with pytest.raises(
        (InputError, OutputError), match=r"is older than it was|are counted in another ledger"
    ):
        require_begun(us, ledger, IMAGES, new=True, yes=True)
    (tmp_path / "site.yaml").write_text(yaml.safe_dump({"site": "us"}))
    assert run("ledger", str(tmp_path / "site.yaml"), "--mend") == 0
    assert "are in it again" in capsys.readouterr().out
    require_begun(us, ledger, IMAGES, yes=True)
    assert [{k: v for k, v in line.items() if k != "id"} for line in ledger.lines()] == [
        {k: v for k, v in line.items() if k != "id"} for line in before
    ]
    assert spend(ledger, 1) == {"total": [1]} and ledger.spent(1e-5) == pytest.approx(1.47, abs=0.01)


def test_what_another_ledger_counted_can_be_taken_over_and_is_counted_once(tmp_path):
    begun(site(tmp_path), spent=2)
    us = site(tmp_path, ledger=tmp_path / "shared.db")
    shared = Ledger(us.ledger)
    shared.begin()
    spend(shared, 7)
    assert mend("us", shared) == 2 and mend("us", shared) == 0
    require_begun(us, shared, IMAGES, yes=True)
    assert len(shared.lines()) == 3


def test_nothing_is_mended_where_nothing_is_known(tmp_path):
    with pytest.raises(InputError, match="nothing is known here of answers of this site"):
        mend("nobody", Ledger(tmp_path / "l.db"))
    assert not (tmp_path / "l.db").exists()


def test_a_ledger_that_was_not_begun_gives_nothing_whoever_calls(tmp_path):
    with pytest.raises(InputError, match="is no ledger that was begun"):
        spend(Ledger(tmp_path / "l.db"))
    assert not (tmp_path / "l.db").exists()


def test_a_second_place_that_cannot_be_used_stops_every_release(tmp_path, state):
    ledger = begun(site(tmp_path))
    (state / "second-place.db").write_bytes(b"no database" * 100)
    with pytest.raises(OutputError, match="the second count of private responses cannot be used"):
        spend(ledger)
    assert ledger.lines() == []


def test_a_release_that_the_second_place_has_missed_is_counted_there_the_next_time(tmp_path, state):
    ledger = begun(site(tmp_path), spent=1)
    (state / "second-place.db").unlink()  # as if a crash had come between the two
    spend(ledger, 1)
    backup = tmp_path / "backup"
    shutil.copy(ledger.path, backup)
    with sqlite3.connect(ledger.path) as db:
        db.execute("DELETE FROM answers WHERE id = 1")
    with pytest.raises(OutputError, match="a line is missing"):
        spend(ledger, 2)


def test_ledgers_are_their_owner_s_alone(tmp_path, state):
    before = os.umask(0o022)
    try:
        begun(site(tmp_path), spent=1)
    finally:
        os.umask(before)
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    files = [p for p in state.rglob("*") if p.is_file()]
    assert len(files) == 2 and {stat.S_IMODE(p.stat().st_mode) for p in files} == {0o600}


def test_no_name_of_an_image_or_a_patient_and_no_plain_digest_is_in_the_second_place(tmp_path, state):
    begun(site(tmp_path), spent=1)
    assert IMAGES[7].encode() not in (state / "second-place.db").read_bytes()


def test_the_place_does_not_depend_on_the_folder_in_which_a_command_is_run(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CLINICAL_QKT_STATE", "state")
    with pytest.raises(InputError, match="is relative, so that each folder would have a privacy budget"):
        ledger_of("us")
    monkeypatch.delenv("CLINICAL_QKT_STATE")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg"))
    assert state_folder().is_absolute() and state_folder().is_relative_to(tmp_path)
