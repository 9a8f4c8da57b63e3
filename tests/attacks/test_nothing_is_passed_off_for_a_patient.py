"""An asker gets answers that hide one image, and has them counted, or told again, as if they hid a patient.

Each patient has two images here. In the version before the ledger did not know whom an answer hides: asked
with ``unit: image`` and then with ``unit: patient``, it gave the same numbers twice, the second time with the
promise for a patient; and it added both up as if they were alike.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.attacks.hospital import Hospital, asked

POLICY = {"epsilon": 1.0, "total_epsilon": 1.9, "minimum_patients": 2}
IMAGE, PATIENT = POLICY | {"unit": "image"}, POLICY | {"unit": "patient"}


@pytest.fixture
def hospital(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hospital:
    monkeypatch.chdir(tmp_path)
    return Hospital(tmp_path / "hospital").prepare()


@pytest.mark.slow
def test_numbers_that_hide_an_image_are_not_told_again_as_hiding_a_patient(hospital, tmp_path):
    query = asked(tmp_path / "q")
    first = hospital.first(query, tmp_path / "a", policy=IMAGE)
    again = hospital.answer(query, tmp_path / "b", policy=PATIENT)[1]
    assert first["unit"] == "image" and again.get("numbers") != first["numbers"]


@pytest.mark.slow
def test_what_hides_an_image_is_not_added_to_what_hides_a_patient_as_if_it_were_alike(hospital, tmp_path):
    """Of a patient with two images an answer that hides one of them tells twice as much: 1.9 is overrun."""
    hospital.first(asked(tmp_path / "q0"), tmp_path / "a0", policy=IMAGE)
    told = hospital.answer(asked(tmp_path / "q1", 6.0), tmp_path / "a1", policy=PATIENT)[1]
    assert told.get("declined", "nothing left") is not None
