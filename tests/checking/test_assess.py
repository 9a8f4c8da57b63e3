"""`clinical-qkt check SITE.yaml assess` and `judge`: told before anything is measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from clinical_qkt.packages.assessment import save_assessment
from tests.assessment.hospital import images, new_model, values
from tests.conftest import run, site_file
from tests.packages.test_assessment import card


def found(capsys, site: Path, stage: str, *words: str) -> tuple[int, dict[str, Any]]:
    code = run("check", str(site), stage, "--json", *words)
    told = json.loads(capsys.readouterr().out)
    return code, {f["what"]: f for f in told["findings"]}


def test_a_model_that_can_be_measured_is_told_and_one_that_gained_nothing_is_a_problem(tmp_path, capsys):
    data = images(tmp_path / "images", red=2, green=2, blue=2)
    site = site_file(tmp_path, **values(data, tmp_path / "out"))
    model, trained = new_model(tmp_path / "new"), new_model(tmp_path / "old", gained=[])
    code, told = found(capsys, site, "assess", "--request", str(model), "--new_ledger", "true")
    assert code == 0 and "gained: blue" in told["model to be measured"]["told"]
    assert told["ledger"]["state"] == "ok"
    code, told = found(capsys, site, "assess", "--request", str(trained), "--new_ledger", "true")
    assert code == 2 and "gained" in told["model to be measured"]["told"]


def test_assessments_are_verified_before_they_are_judged_by(tmp_path, capsys):
    data = images(tmp_path / "images", red=2, green=2)
    save_assessment(tmp_path / "a", card())
    about = {"classes": ["red", "green"], "query": ["basophil"], "assessments": [str(tmp_path / "a")]}
    site = site_file(tmp_path, **values(data, tmp_path / "out", **about))
    code, told = found(capsys, site, "judge")
    assert code == 0 and "recall of: basophil" in told["assessment of hospital_b"]["told"]
    (tmp_path / "a" / "card.json").write_text("{}")
    assert found(capsys, site, "judge")[0] == 2
