"""The demo's student, to be checked."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from clinical_qkt.packages import made_here
from tests.conftest import run


@pytest.fixture
def site(demo, tmp_path) -> dict[str, Any]:
    """The demo's student, whose results go elsewhere; its model and its packages are copies."""
    file = next(p for p in sorted(demo.glob("sites/*.yaml")) if "teachers" in yaml.safe_load(p.read_text()))
    values = yaml.safe_load(file.read_text())
    shutil.copytree(Path(values["output_dir"]) / "model", tmp_path / "out" / "model")
    shutil.copy(Path(values["output_dir"]) / made_here.FILE, tmp_path / "out")
    shutil.copytree(demo / "packages", tmp_path / "packages")
    values["teachers"] = [str(tmp_path / "packages" / Path(t).name) for t in values["teachers"]]
    places = {f"{p}_dir": str(tmp_path / f"new_{p}") for p in ("package", "query", "transfer")}
    return values | places | {"output_dir": str(tmp_path / "out"), "mlflow": ""}


@pytest.fixture
def check(tmp_path, capfd):
    """Check a site; the exit code, and what was found by state."""

    def checked(values: dict[str, Any], *words: str) -> tuple[int, dict[str, list[str]]]:
        (tmp_path / "site.yaml").write_text(yaml.safe_dump(values))
        before = set(tmp_path.rglob("*"))
        code = run("check", str(tmp_path / "site.yaml"), *words, "--json")
        said = json.loads(capfd.readouterr().out)
        assert said["ok"] == (code == 0) and set(tmp_path.rglob("*")) == before
        found: dict[str, list[str]] = {"ok": [], "warning": [], "problem": []}
        for line in said["findings"]:
            found[line["state"]].append(f"{line['what']}: {line['told']} ({line['fix']})")
        return code, found | {"stage": [said["stage"]]}

    return checked
