"""The stage ``assess`` on the command line: from a model package to an assessment, and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from clinical_qkt.packages.assessment import load_assessment
from clinical_qkt.packages.key_files import new_key
from clinical_qkt.packages.model import load_model
from clinical_qkt.packages.signing import sign
from tests.assessment.hospital import images, new_model, values
from tests.conftest import run, site_file


@pytest.fixture
def student(tmp_path: Path) -> tuple[Path, Path]:
    """Its signed package and its public key."""
    private, public, _ = new_key("student", tmp_path / "keys")
    package = new_model(tmp_path / "new")
    sign(package, private)
    return package, public


def assess(folder: Path, package: Path, *words: str, **changes: Any) -> int:
    data = folder / "images" / "d.json"
    if not data.exists():
        images(folder / "images", red=30, green=25, blue=26)
    site = site_file(folder, **values(data, folder / "out", **changes))
    out = ("--request", str(package), "--assessment_dir", str(folder / "told"), *words)
    return run("run", "assess", str(site), *out)


NEW = ("--yes", "true", "--new_ledger", "true")


def test_a_model_package_becomes_an_assessment_of_just_what_the_model_names(tmp_path, student, capsys):
    package, public = student
    trust: dict[str, Any] = {"untrusted_packages": "refuse", "trusted_keys": {"student": str(public)}}
    few = {"minimum_images": 10}
    assert assess(tmp_path, package, *NEW, assess=few, **trust) == 0
    card = load_assessment(tmp_path / "told").card
    named = {
        kind: _named(load_model(package).network, tmp_path / "images", kind)
        for kind in ("red", "green", "blue")
    }
    alarms = sum(int((named[kind] == 2).sum()) for kind in ("red", "green"))
    (blue,) = card.classes
    assert (blue.images, blue.patients, blue.recall) == (25, 10, round(100 * (named["blue"] == 2).mean()))
    assert (blue.called, card.others.images) == (alarms - alarms % 5, 55)
    printed = capsys.readouterr()
    assert "blue001" not in printed.out + printed.err and "clinical-qkt run judge" in " ".join(
        printed.out.split()
    )


def _named(network: torch.nn.Module, folder: Path, kind: str) -> np.ndarray:
    raw = [
        np.asarray(Image.open(f), np.float32).transpose(2, 1, 0) for f in sorted(folder.glob(f"{kind}*.png"))
    ]
    with torch.no_grad():
        return network.eval()(torch.tensor(np.stack(raw)) / 127.5 - 1).argmax(1).numpy()


def test_exit_codes_say_why_nothing_was_told(tmp_path, student):
    package, public = student
    trust: dict[str, Any] = {"untrusted_packages": "refuse", "trusted_keys": {"student": str(public)}}
    assert assess(tmp_path, package, "--yes", "true", **trust) == 2  # no ledger was begun
    assert assess(tmp_path, tmp_path / "nowhere", *NEW, **trust) == 2
    assert assess(tmp_path, package, *NEW, **trust | {"trusted_keys": {}}) == 3
    assert assess(tmp_path, package, *NEW, channels=3, spatial_size=[12, 12, 12], **trust) in (2, 3)
    assert assess(tmp_path, package, *NEW, policy={"may_ask": ["hospital_x"]}, **trust) == 4
    assert assess(tmp_path, package, *NEW, assess={"minimum_images": 100}, **trust) == 4
    assert assess(tmp_path, package, *NEW, assess={"rounding": 50}, **trust) == 2
    assert not (tmp_path / "told").exists()
    assert json.loads((tmp_path / "new" / "card.json").read_text())["gained"] == ["blue"]
