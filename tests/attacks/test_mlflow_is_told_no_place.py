"""Promise: whoever reads a transfer's record in MLflow, or runs its server, learns of no path or folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mlflow
import pytest
import yaml

from clinical_qkt import bundle
from clinical_qkt.review.tracking.provenance import without_paths
from tests.conftest import CONFIGS

SECRET = "ward7_smith"
"""Stands in whatever is planted, and nowhere else."""
PLANTED: dict[str, Any] = {
    "a key of a person's own": {"_images": f"scans/{SECRET}/ct"},
    "deep in a key of a person's own": {"_more": {"here": [{"and": f"{SECRET}.nii.gz"}]}},
    "a name below a key of a person's own": {"_by_folder": {f"{SECRET}/ct": 1}},
    "an expression": {"_where": f"$str(pathlib.Path.home() / '{SECRET}')"},
    "an expression that puts a path together": {"device": f"$'/' + 'home' + '/{SECRET}'"},
    "an expression for a path": {"data": f"$'{SECRET}' + '/list.json'"},
    "an expression with a path in it": {"architecture": f"$open('/home/{SECRET}/net').read()"},
    "a path as it is": {"licence": f"see /home/{SECRET}/licence.txt"},
    "a path from here": {"licence": f"see ../{SECRET}/licence.txt"},
    "a path after a colon": {"licence": f"see:/home/{SECRET}"},
    "a path in braces": {"licence": f"{{/home/{SECRET}}}"},
    "a share of the network": {"licence": f"\\\\server\\{SECRET}"},
    "an address of a file": {"licence": f"file:///{SECRET}"},
    "an address of a store": {"licence": f"s3://bucket/{SECRET}"},
    "a name of a mapping": {"settings": {f"/home/{SECRET}": 1}},
    "a component's argument": {"read": [{"_target_": "LoadImaged", "root": f"scans/{SECRET}"}]},
    "a component's note": {"read": [{"_target_": "LoadImaged", "_desc_": f"of {SECRET}"}]},
    "a text that the bundle does not have": {"post": f"{SECRET}/post"},
}


@pytest.mark.parametrize("where", PLANTED)
def test_a_planted_place_is_not_in_what_is_told(where):
    told = without_paths({"site": "us", **PLANTED[where]})
    assert SECRET not in json.dumps(told) and set(told) == {"site", *PLANTED[where]}


@pytest.mark.slow
def test_a_planted_place_is_in_no_record_of_a_transfer(demo, tmp_path):
    file = next(p for p in sorted(demo.glob("sites/*.yaml")) if "teachers:" in p.read_text())
    said = yaml.safe_load(file.read_text())
    mine = {k: v for planted in PLANTED.values() for k, v in planted.items() if k[0] == "_"}
    mine |= {"transfer_dir": str(tmp_path / SECRET), "licence": f"see /home/{SECRET}/licence.txt"}
    (tmp_path / SECRET).mkdir()
    (tmp_path / SECRET / "site.yaml").write_text(yaml.safe_dump(said | mine))
    uri = f"sqlite:///{tmp_path}/{SECRET}/m.db"
    files = [CONFIGS / "train.yaml", CONFIGS / "transfer.yaml", tmp_path / SECRET / "site.yaml"]
    bundle.run(files, mlflow=uri, _planted=f"$'{SECRET}'")
    client = mlflow.MlflowClient(uri, uri)
    runs = client.search_runs([e.experiment_id for e in client.search_experiments()])
    assert runs
    for run in runs:
        told = json.dumps([run.data.params, run.data.tags, run.info.run_name])
        assert SECRET not in told.replace(str(run.info.artifact_uri), "")
    parent = next(r for r in runs if "mlflow.parentRunId" not in r.data.tags)
    (tmp_path / "got").mkdir()
    got = Path(client.download_artifacts(parent.info.run_id, "", str(tmp_path / "got")))
    read = [p for p in got.rglob("*") if p.suffix in (".yaml", ".json", ".html")]
    assert {"config.yaml", "summary.json", "report.html", "environment.json"} <= {p.name for p in read}
    # The licence is the site's word, and stands on its model's card as it is.
    assert [p.name for p in read if SECRET in p.read_text().replace(mine["licence"], "")] == []
    config = yaml.safe_load((got / "config.yaml").read_text())
    assert config["seed"] == said.get("seed", 0) and config["classes"] == said["classes"]
    assert config["package_dir"] == "<path>" and str(config["network"]).startswith("$")
