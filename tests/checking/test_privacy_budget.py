"""`clinical-qkt check` tells whether a ledger counts what is about to be told, and what is left."""

from __future__ import annotations

import json

import pytest

from clinical_qkt.core.state_folder import ledger_of
from clinical_qkt.site.ledger import second_place
from clinical_qkt.site.ledger.ledger import Ledger
from tests.attacks.hospital import Hospital, asked
from tests.conftest import run


@pytest.mark.slow
def test_the_ledger_is_told_before_an_answer_and_none_is_begun(tmp_path, capfd):
    hospital, query = Hospital(tmp_path / "hospital").prepare(), str(asked(tmp_path / "q"))
    file, ledger = str(hospital.write()), Ledger(ledger_of("hospital_a"))

    def told(*words: str) -> tuple[str, str]:
        run("check", file, "answer", "--request", query, "--json", *words)
        found = json.loads(capfd.readouterr().out)["findings"]
        (line,) = [f for f in found if f["what"] == "ledger"]
        return line["state"], line["told"] + line["fix"]

    state, said = told()
    assert state == "problem" and "has no ledger yet" in said and "--new_ledger true" in said
    assert told("--new_ledger", "true")[0] == "ok" and not ledger.path.exists()
    second_place.note("hospital_a", (), ledger.begin(), ledger.path)
    assert told() == ("ok", f"{ledger.path}: epsilon 0.00 of 1.2 is spent")
    state, said = told("--ledger", str(tmp_path / "other.db"))
    assert state == "problem" and str(ledger.path) in said
