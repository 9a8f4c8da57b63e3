"""Shared material: tiny coloured pictures that a network learns in seconds, and a federation made of them."""

from __future__ import annotations

import atexit
import gc
import itertools
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
import yaml
from PIL import Image
from rich.console import Console

from tests import once

# What is imported stays to the end: looking through it for what nobody uses would be a quarter of the start.
gc.disable()
# Nothing of torch, MONAI or MLflow is imported here: the process that hands tests to others needs none of it.
pytest_plugins = ["pytester", "tests.cpu", "tests.skips"]
STATES = tempfile.mkdtemp(prefix="clinical-qkt-state-")
"""What outlives a results folder goes there, never into the home of whoever runs the tests."""
os.environ["CLINICAL_QKT_STATE"] = f"{STATES}/session"
atexit.register(shutil.rmtree, STATES, ignore_errors=True)
ROOT = Path(__file__).parent.parent
CONFIGS = ROOT / "bundles" / "blood_cell_classification" / "configs"
COLOURS = {
    "red": (200, 40, 40),
    "green": (40, 180, 60),
    "blue": (40, 60, 200),
    "yellow": (210, 200, 40),
    "violet": (150, 50, 190),
}


NUMBERS = itertools.count()


@pytest.fixture(autouse=True, scope="module")
def _state_of_the_module() -> Iterator[None]:
    """Each module's fixtures have a state folder of their own: the sites of one are not those of another."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLINICAL_QKT_STATE", f"{STATES}/{next(NUMBERS)}")
        yield


@pytest.fixture(autouse=True)
def state(_state_of_the_module: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The state folder of a test, where nothing is yet."""
    folder = Path(STATES) / str(next(NUMBERS))
    monkeypatch.setenv("CLINICAL_QKT_STATE", str(folder))
    return folder


def square(kind: str, seed: int, size: int = 20) -> np.ndarray:
    """A coloured square on grey, with noise."""
    rng = np.random.default_rng([seed, list(COLOURS).index(kind)])
    picture = np.full((size, size, 3), 128.0)
    x, y = rng.integers(1, size // 2, 2)
    picture[y : y + size // 2, x : x + size // 2] = COLOURS[kind]
    return (picture + rng.normal(0, 12, picture.shape)).clip(0, 255).astype(np.uint8)


def reseal(package: Path, tensors: str = "model.safetensors", key: Path | None = None) -> None:
    """What somebody would do who changes a package on purpose: the digests fit again.

    With a private key the signature does, too.
    """
    from clinical_qkt.core.files import sha256
    from clinical_qkt.packages.signing import sign
    from clinical_qkt.packages.writer import CARD, SUMS

    card = json.loads((package / CARD).read_text())
    card["weights_sha256"] = sha256(package / tensors)
    (package / CARD).write_text(json.dumps(card))
    (package / SUMS).write_text("".join(f"{sha256(package / f)}  {f}\n" for f in (CARD, tensors)))
    if key:
        sign(package, key)


def pytest_configure(config: pytest.Config) -> None:
    """In every process that runs tests."""
    if hasattr(config, "workerinput") or config.getoption("dist", "no") == "no":
        for name in ("tests.cheap", "tests.cases"):
            config.pluginmanager.import_plugin(name)


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True, scope="session")
def _folder_of_the_run(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What ``once`` makes is for all workers of xdist."""
    own = tmp_path_factory.getbasetemp()
    os.environ[once.FOLDER] = str(own.parent if "PYTEST_XDIST_WORKER" in os.environ else own)


@pytest.fixture(scope="session")
def npz(_folder_of_the_run: None) -> Path:
    """A MedMNIST-style file of 5 classes with all splits."""
    return once.once("squares.npz", write_squares)


def write_squares(path: Path) -> None:
    content: dict[str, np.ndarray] = {"classes": np.array(list(COLOURS))}
    for split, count, start in (("train", 40, 0), ("val", 16, 1000), ("test", 12, 2000)):
        content[f"{split}_images"] = np.stack([square(k, start + i) for k in COLOURS for i in range(count)])
        content[f"{split}_labels"] = np.repeat(np.arange(len(COLOURS)), count)[:, None]
    np.savez(path, **content)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one sub-folder of 12 images per class."""
    for kind in COLOURS:
        (tmp_path / "images" / kind).mkdir(parents=True)
        for i in range(12):
            Image.fromarray(square(kind, i)).save(tmp_path / "images" / kind / f"{i:02d}.png")
    return tmp_path / "images"


DEMO = ("--sites", "3", "--classes-per-site", "3", "--max-epochs", "6", "--seed", "1")


@pytest.fixture(scope="session")
def demo(npz: Path) -> Path:
    """A finished demo on the squares, with real figures; treat it as read-only."""
    from tests.cheap import really_drawn

    def make(out: Path) -> None:
        with really_drawn():
            assert run("demo", "--data", str(npz), "--out", str(out), *DEMO) == 0

    return once.once("demo", make)


@pytest.fixture
def real_figures() -> Iterator[None]:
    """Figures are drawn as they are for people, see ``tests.cheap``."""
    from tests.cheap import really_drawn

    with really_drawn():
        yield


@pytest.fixture
def real_footprints(monkeypatch: pytest.MonkeyPatch) -> None:
    """What networks need in memory is measured, see ``tests.cheap``."""
    from clinical_qkt.core import footprint
    from tests.cheap import tried

    monkeypatch.setattr(footprint.Footprint, "_tried", tried)
    monkeypatch.setattr(footprint, "_KNOWN", {})


@pytest.fixture
def console() -> Console:
    return Console(quiet=True)


def run(*arguments: str) -> int:
    """The command line in this process; its exit code."""
    from clinical_qkt.cli.app import main

    before = sys.argv
    sys.argv = ["clinical-qkt", *arguments]
    try:
        main()
    except SystemExit as e:
        return int(e.code or 0)
    finally:
        sys.argv = before
    return 0


def site_file(folder: Path, **values: Any) -> Path:
    """A site's YAML in a folder."""
    (folder / "site.yaml").write_text(yaml.safe_dump({"site": "us", **values}))
    return folder / "site.yaml"
