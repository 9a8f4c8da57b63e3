"""Somebody with an account on the same computer looks at what was written, and at what links lead to.

In the version before ``images/`` was open to everybody, with links from each salted name to the file's own
name; and packages and datalists were readable for all though the umask forbade it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from clinical_qkt.bundle.predictions import PredictionWriter
from clinical_qkt.data.label_space import LabelSpace
from tests.attacks.outsider import seen_by_others
from tests.conftest import run
from tests.query.test_response import query


@pytest.fixture(params=[0o022, 0o027, 0o077], ids=lambda u: f"{u:03o}")
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def prepared(folder: Path) -> Path:
    """A hospital's pictures, which are named after patients, after ``clinical-qkt prepare``."""
    for kind, level in (("dark", 0), ("light", 120)):
        (folder / "in" / kind).mkdir(parents=True)
        for i in range(10):
            picture = Image.new("L", (8, 8), level + 5 * i)
            picture.putpixel((1, 1), 250)
            picture.save(folder / "in" / kind / f"Zebrowski_{kind}_{i}.png")
    assert run("prepare", str(folder / "in"), "--out", str(folder / "out")) == 0
    return folder / "out"


def test_nobody_else_learns_of_a_patient_or_a_file_from_what_prepare_writes(tmp_path, umask):
    out = prepared(tmp_path)
    seen = list(seen_by_others(out))
    told = [str(p.readlink()) if p.is_symlink() else p.read_text(errors="replace") for p in seen]
    assert not [t for t in told if "Zebrowski" in t]
    assert {p.name for p in seen} == ({"site.yaml"} if umask == 0o022 else set())
    assert stat.S_IMODE((out / "images").stat().st_mode) == 0o700


def test_nobody_else_reads_what_a_model_says_of_each_image(tmp_path, umask):
    writer = PredictionWriter(tmp_path / "p.csv", ["Zebrowski.png"], LabelSpace(["a", "b"]), None)
    writer.collect(SimpleNamespace(state=SimpleNamespace(output={"pred": torch.zeros(1, 2)})))
    writer.write(None)
    assert stat.S_IMODE((tmp_path / "p.csv").stat().st_mode) == 0o600


def test_a_package_is_open_as_far_as_the_umask_says_and_no_further(tmp_path, umask):
    query(tmp_path / "q")
    assert stat.S_IMODE((tmp_path / "q").stat().st_mode) == 0o777 & ~umask
    assert {stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / "q").iterdir()} == {0o666 & ~umask}
