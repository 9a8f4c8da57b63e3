"""What the tests of ``prepare`` share: generated sources, and looking at what was written."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
from PIL import Image

from clinical_qkt.data.datalist import SECTIONS
from tests.conftest import COLOURS, run, square
from tests.make_dicom import write_dicom, write_labels

SHIPPED = Path(pydicom.__file__).parent / "data" / "test_files"


def pictures(count: int, seed: int = 0, size: int = 12) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, size, size), dtype=np.uint8)


@pytest.fixture
def dicom(tmp_path):
    """A folder of 60 DICOM images of 20 patients and two classes, and their table."""
    written = write_dicom(tmp_path / "scans", pictures(60), ["Head"] * 30 + ["Hand"] * 30, slices=3)
    write_labels(tmp_path / "labels.csv", written)
    return tmp_path / "scans"


@pytest.fixture
def large(tmp_path):
    """Pictures of 300x200 pixels in folders of two classes."""
    for kind in list(COLOURS)[:2]:
        (tmp_path / "images" / kind).mkdir(parents=True)
        for i in range(12):
            picture = Image.fromarray(square(kind, i, size=40)).resize((300, 200), Image.Resampling.NEAREST)
            picture.save(tmp_path / "images" / kind / f"{i:02d}.png")
    return tmp_path / "images"


def prepared(source: Path, *options: str, out: str = "site", code: int = 0) -> Path:
    """Run the command; the output folder."""
    folder = source.parent / out
    assert run("prepare", str(source), "--out", str(folder), *options) == code
    return folder


def entries(folder: Path) -> list[dict]:
    content = json.loads((folder / "datalist.json").read_text())
    return [{**e, "section": s} for s in SECTIONS for e in content[s]]


def summary(folder: Path) -> dict:
    return json.loads((folder / "summary.json").read_text())


def files(folder: Path) -> dict[str, dict[str, str]]:
    """``local/files.csv`` by file name, with the folder that it lies in."""
    with (folder / "local" / "files.csv").open(newline="") as f:
        return {"/".join(Path(row["file"]).parts[-2:]): row for row in csv.DictReader(f)}


@pytest.fixture
def volumes(tmp_path):
    """Twelve volumes with labelled parts, in images/ and maps/, in two orientations."""
    home = tmp_path / "nifti"
    home.mkdir()
    x, y, z = np.indices((30, 34, 30))
    for i in range(12):
        labels = np.zeros((30, 34, 30), np.uint8)
        labels[(x - 15) ** 2 + (y - 10) ** 2 + (z - 15) ** 2 < 25] = 1
        labels[(x - 15) ** 2 + (y - 24) ** 2 + (z - 15) ** 2 < 25] = 2
        values = np.random.default_rng(i).normal(100 + 50 * labels, 10)
        affine = np.diag([-1.0 if i % 2 else 1.0, 1, 1, 1])
        for folder, content in (("images", values.astype(np.float32)), ("maps", labels)):
            (home / folder).mkdir(exist_ok=True)
            image = nibabel.Nifti1Image(content, affine)
            image.header["descrip"] = b"Doe Jane"
            nibabel.save(image, home / folder / f"doe_{i}.nii.gz")
    return home / "images"
