"""From a transfer to a judgement by others: share, assess at two hospitals, judge; and what MLflow tells."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections import OrderedDict
from contextlib import closing
from pathlib import Path

import mlflow
import pytest
import yaml
from mlflow.tracking._tracking_service import utils

from clinical_qkt.core.state_folder import state_in
from clinical_qkt.packages.assessment import load_assessment
from clinical_qkt.review.comparison.reading import read_summary
from tests.conftest import run

PLACES = {"experiments": "artifact_location", "runs": "artifact_uri", "logged_models": "artifact_location"}


@pytest.fixture
def copied(demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The finished demo, whose paths and records lead to the copy."""
    out = tmp_path / "demo"
    shutil.copytree(demo, out)
    for file in (out / "sites").glob("*.yaml"):
        file.write_text(file.read_text().replace(str(demo), str(out)))
    with closing(sqlite3.connect(out / "mlflow.db")) as db:
        for table, column in PLACES.items():
            db.execute(f"UPDATE {table} SET {column} = replace({column}, ?, ?)", (str(demo), str(out)))
        db.commit()
    monkeypatch.setattr(utils, "_artifact_repos_cache", OrderedDict())  # it knows the demo's own place
    return out


def stage(out: Path, name: str, site: str, *words: str, **changes: object) -> int:
    file = out / "sites" / f"{site}.yaml"
    file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | changes))
    # Hospitals have computers of their own; the demo's have the same test images, which one would notice.
    with state_in(out / ("state" if site == "hospital_1" else f"state of {site}")):
        return run("run", name, str(file), *words)


def test_others_measure_the_new_model_and_the_student_judges_it_by_that(copied, capsys):
    out, new, told = copied, copied / "new", []
    before, _ = read_summary((out / "summary.json").read_bytes(), "s")
    shared = ("--model", str(out / "model"), "--package_dir", str(new), "--yes", "true")
    assert stage(out, "share", "hospital_1", *shared) == 0
    card = json.loads((new / "card.json").read_text())
    assert card["gained"] == ["red"] and card["weights_sha256"] == before.identity.weights_sha256
    for site in ("hospital_2", "hospital_3"):
        told.append(out / "told" / site)
        words = (
            "--request",
            str(new),
            "--assessment_dir",
            str(told[-1]),
            "--yes",
            "true",
            "--new_ledger",
            "true",
        )
        assert stage(out, "assess", site, *words, assess={"minimum_images": 10}) == 0
        found = load_assessment(told[-1]).card
        assert found.classes[0].images == 10 and found.others.images in (10, 20)
    rule = {
        "acceptance": {"evidence": "both", "false_alarms": 100},
        "assessments": [str(path) for path in told],
    }
    capsys.readouterr()
    assert stage(out, "judge", "hospital_1", **rule) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "hospital_2 and hospital_3 measured the model" in printed
    after, _ = read_summary((out / "summary.json").read_bytes(), "s", whole=True)
    assert after.judged_earlier == [before.judgement()] and after.before == before.before
    recall = after.criteria[0]
    assert recall.images == 12 + 10 + 10 and after.rule.evidence == "both"
    client = mlflow.MlflowClient(f"sqlite:///{out / 'mlflow.db'}")
    there = client.get_run(before.identity.run_id)
    assert there.data.tags["verdict"] == after.verdict and there.data.tags["evidence"] == "both"
    assert there.data.metrics["others/recall/red"] == after.others.classes["red"].recall
    logged = client.download_artifacts(before.identity.run_id, "summary.json")
    assert json.loads(Path(logged).read_text()) == after.as_json()
