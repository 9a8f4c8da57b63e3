"""Hospitals whose pictures look different, from training to a gained class: with looks told and without."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import DEMO, run
from tests.query.test_aggregate import EXACT, stage


def gained(demo: Path, out: Path, *, tell_looks: bool) -> dict:
    """The summary of a transfer from exact responses to a query that tells looks, or tells none."""
    student = next(file for file in sorted(demo.glob("sites/*.yaml")) if "responses:" in file.read_text())
    policy = {**EXACT, "exact_responses_per_class": 5}
    settings = {"tell_looks": tell_looks}
    stage("query", student, query_dir=str(out / "query"), yes=True, policy=policy, settings=settings)
    answers = []
    for file in (f for f in sorted(demo.glob("sites/*.yaml")) if f != student):
        where = {"request": str(out / "query"), "response_dir": str(out / file.stem)}
        stage("answer", file, yes=True, policy=policy, **where)
        answers.append(str(out / file.stem))
    where = {
        "query_dir": str(out / "query"),
        "transfer_dir": str(out / "t"),
        "mlflow": f"sqlite:///{out}/m.db",
    }
    stage("transfer", student, responses=answers, **where)
    return json.loads((out / "t" / "summary.json").read_text())


@pytest.mark.slow
def test_a_class_is_found_though_pictures_look_different_where_looks_are_told(npz, tmp_path):
    demo = tmp_path / "demo"
    other = ("--shift", "strong", "--from", "statistics")
    assert run("demo", "--data", str(npz), "--out", str(demo), *DEMO, *other) == 0
    found = {}
    for tell in (True, False):
        (tmp_path / str(tell)).mkdir()
        found[tell] = gained(demo, tmp_path / str(tell), tell_looks=tell)["after"]["query_recall"]
    assert found[True] > max(0.7, found[False] + 0.1), found
