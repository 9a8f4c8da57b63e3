"""Somebody asks again and again, and each time takes care that the ledger of before is not found.

In the version before the budget was a file below ``output_dir``: another folder, another name or an older
copy answered with "0.00 of 1.2 spent". Here each way is tried with ``--yes true``, as a script would; and
again with the words that begin a ledger. One that answers with new numbers has overrun the budget. The parts
of the check are looked at one by one in tests/site/ledger/test_beginning.py.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.attacks.hospital import NEW, Hospital, asked


@pytest.fixture
def hospital(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hospital:
    """It has answered once: of its epsilon of 1.2 a whole 1.0 is spent."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    here = Hospital(tmp_path / "hospital").prepare()
    here.first(asked(tmp_path / "q0"), tmp_path / "a0")
    return here


def overrun(hospital: Hospital, folder: Path, *words: str, **changes) -> bool:
    """Whether another question gets numbers too."""
    query = asked(folder / "q1", radius=6.0)
    told = [hospital.answer(query, folder / "a1", *words, *more, **changes)[1] for more in ((), NEW)]
    return any(t.get("declined", "nothing left") is None for t in told)


@pytest.mark.slow
def test_the_same_results_folder_is_declined(hospital, tmp_path):
    assert not overrun(hospital, tmp_path)


def test_another_results_folder(hospital, tmp_path):
    assert not overrun(hospital, tmp_path, output_dir=str(tmp_path / "elsewhere"))


@pytest.mark.slow
def test_another_working_folder(tmp_path, monkeypatch):
    hospital = Hospital(tmp_path / "hospital").prepare()
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    hospital.first(asked(tmp_path / "q0"), tmp_path / "a0", output_dir="runs/hospital_a")
    monkeypatch.chdir(tmp_path / "there")
    assert not overrun(hospital, tmp_path, output_dir="runs/hospital_a")


@pytest.mark.slow
def test_a_ledger_of_its_own_choice(hospital, tmp_path):
    assert not overrun(hospital, tmp_path, "--ledger", str(tmp_path / "fresh.db"))


@pytest.mark.slow
def test_another_pseudonym(hospital, tmp_path):
    hospital.site = "hospital_b"
    assert not overrun(hospital, tmp_path, output_dir=str(tmp_path / "elsewhere"))


def again(hospital: Hospital) -> None:
    """Prepared again: other names of files and patients, another datalist."""
    hospital.images, hospital.datalist = "prepared", "again.json"
    hospital.prepare(prefix="x")


def extended(hospital: Hospital) -> None:
    """One more patient, in the same list."""
    hospital.prepare(patients=25)


def rewritten(hospital: Hospital) -> None:
    """Files whose bytes are others, though their pictures are not."""
    again(hospital)
    hospital.prepare(prefix="x", mark=8)


@pytest.mark.parametrize("change", [again, extended, rewritten])
@pytest.mark.slow
def test_the_same_patients_in_another_datalist(hospital, tmp_path, change: Callable[[Hospital], None]):
    change(hospital)
    assert not overrun(hospital, tmp_path, output_dir=str(tmp_path / "elsewhere"))


@pytest.mark.slow
def test_another_pseudonym_for_data_that_were_prepared_again(hospital, tmp_path):
    again(hospital)
    hospital.site = "hospital_b"
    assert not overrun(hospital, tmp_path, output_dir=str(tmp_path / "elsewhere"))


def ledgers(tmp_path: Path, state: Path) -> list[Path]:
    found = [p for folder in (tmp_path, state) for p in folder.rglob("*.db")]
    return [p for p in found if "second" not in p.name and "mlflow" not in p.name]


@pytest.mark.slow
def test_an_older_copy_of_the_ledger(tmp_path, monkeypatch, state):
    monkeypatch.chdir(tmp_path)
    hospital = Hospital(tmp_path / "hospital").prepare()
    policy = {"epsilon": 1.0, "total_epsilon": 1.6, "minimum_patients": 2}
    hospital.first(asked(tmp_path / "q0"), tmp_path / "a0", policy=policy)
    (ledger,) = ledgers(tmp_path, state)
    shutil.copy(ledger, tmp_path / "older")
    assert hospital.answer(asked(tmp_path / "q2", 7.0), tmp_path / "a2", policy=policy)[1]["declined"] is None
    shutil.copy(tmp_path / "older", ledger)
    assert not overrun(hospital, tmp_path, policy=policy)


@pytest.mark.slow
def test_a_ledger_that_was_deleted(hospital, tmp_path, state):
    (ledger,) = ledgers(tmp_path, state)
    ledger.unlink()
    assert not overrun(hospital, tmp_path)


@pytest.mark.slow
def test_a_class_under_another_name(hospital, tmp_path):
    listed = json.loads((hospital.folder / hospital.datalist).read_text())
    listed["training"] = [e | {"label": e["label"].upper()} for e in listed["training"]]
    (hospital.folder / hospital.datalist).write_text(json.dumps(listed))
    assert not overrun(hospital, tmp_path, output_dir=str(tmp_path / "elsewhere"))
