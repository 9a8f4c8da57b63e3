"""The demo whose hospitals write letters: processes, a person, and what others measured in the end."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from clinical_qkt.core.state_folder import state_in
from clinical_qkt.exchange.at_desk import at_desk
from clinical_qkt.review.summary_schema import TransferSummary
from tests.conftest import run

HOSPITALS = [f"hospital_{i}" for i in (1, 2, 4)]


@pytest.mark.slow
@pytest.mark.parametrize("carrier", ["folder", "flare"])
def test_a_student_without_test_images_of_the_class_ends_with_what_others_measured(carrier, tmp_path):
    if carrier == "flare" and importlib.util.find_spec("nvflare") is None:
        pytest.skip('NVIDIA FLARE is not installed: pip install "clinical-qkt[federation]"')
    out = tmp_path / "demo"
    words = ("--from", "private", "--exchange", carrier, "--max-epochs", "6", "--out", str(out))
    assert run("demo", *words) == 0
    summary = TransferSummary.model_validate_json((out / "summary.json").read_bytes())
    (name,) = summary.student.query
    assert summary.after.query_recall is None  # of own images nothing is known
    assert summary.others is not None and sorted(s.site for s in summary.others.sites) == HOSPITALS
    low, high = summary.others.classes[name].ci95
    assert low <= truth(out, name) <= high
    second = at_desk(out / "sites" / "hospital_2.yaml")
    decided = [second.store.decision(row) for row in second.store.of("in", "ask")]
    assert {d["by"] for d in decided if d} == {"the demo's person"}


def truth(out: Path, name: str, sites: Sequence[str] = HOSPITALS) -> float:
    """What the student never sees: recall on all images of the class that the others hold."""
    found = images = 0.0
    with state_in(out / "state"):
        for site in sites:
            result = out / f"{site}.json"
            model = ("--model", str(out / "packages" / "new_model"), "--result", str(result))
            assert run("run", "evaluate", str(out / "sites" / f"{site}.yaml"), *model) == 0
            row = json.loads(result.read_text())["per_class"].get(name)
            if not row or not row["support"]:
                continue
            found, images = found + row["recall"] * row["support"], images + row["support"]
    return found / images


def test_processes_are_flares_alone(tmp_path):
    assert run("demo", "--processes", "--exchange", "folder", "--out", str(tmp_path / "demo")) == 2


def test_a_carrier_that_is_not_installed_is_told_before_anything_is_done(tmp_path, monkeypatch):
    monkeypatch.setattr("clinical_qkt.research.demo_exchange.find_spec", lambda name: None)
    assert run("demo", "--exchange", "flare", "--out", str(tmp_path / "demo")) == 2
    assert not (tmp_path / "demo").exists()
