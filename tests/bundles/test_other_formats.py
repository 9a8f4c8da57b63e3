"""The bundles for DICOM slices and NIfTI patches: their real configs, on generated and prepared files."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import yaml
from monai.bundle import verify_metadata, verify_net_in_out
from pydicom import dcmread

from clinical_qkt import bundle
from clinical_qkt.packages.model import load_model
from clinical_qkt.research import demo
from tests.bundles.copies import launch_in
from tests.conftest import ROOT, run
from tests.make_dicom import write_dicom, write_labels
from tests.once import once

NAMES = ["blood_cell_classification", "body_region_radiograph", "hippocampus_region_3d"]


def bar(kind: int, seed: int) -> np.ndarray:
    """A grey picture with a bright bar: upright, lying or none."""
    rng = np.random.default_rng([seed, kind])
    picture = rng.normal(70, 12, (28, 28))
    at = rng.integers(6, 18)
    if kind == 0:
        picture[at : at + 5] += 120
    elif kind == 1:
        picture[:, at : at + 5] += 120
    return picture.clip(0, 255).astype(np.uint8)


def write_volume(folder: Path, seed: int) -> None:
    """A bright front and a dim back part in a noisy volume, stored from left to right or the other way."""
    rng = np.random.default_rng(seed)
    values, parts = rng.normal(100, 10, (30, 54, 30)), np.zeros((30, 54, 30), np.uint8)
    x, z = rng.integers(10, 14, 2)
    parts[x : x + 9, 8:20, z : z + 9], parts[x : x + 9, 20:32, z : z + 9] = 2, 1
    values[parts == 1] += 200
    values[parts == 2] -= 200
    affine = np.diag([-1.0 if seed % 2 else 1.0, 1, 1, 1])
    for name, array in (("images", values.astype(np.float32)), ("labels", parts)):
        (folder / name).mkdir(parents=True, exist_ok=True)
        nib.save(nib.Nifti1Image(array, affine), folder / name / f"v{seed:02d}.nii.gz")


def make_dicom(root: Path) -> None:
    kinds, count = ["upright", "lying", "neither"], 48
    pictures = np.stack([bar(k, i) for k in range(3) for i in range(count)])
    written = write_dicom(root / "scans", pictures, [k for k in kinds for _ in range(count)], slices=4)
    write_labels(root / "labels.csv", written)
    table = ("--labels", str(root / "labels.csv"))
    assert run("prepare", str(root / "scans"), *table, "--out", str(root / "site")) == 0


def make_nifti(root: Path) -> None:
    for seed in range(15):
        write_volume(root, seed)
    parts = ("--parts", "front=1", "--parts", "back=2", "--patches", "4")
    source = (str(root / "images"), "--voxel-labels", str(root / "labels"))
    assert run("prepare", *source, *parts, "--out", str(root / "site")) == 0


@pytest.fixture(scope="session")
def dicom() -> Path:
    """A datalist of DICOM slices of three classes."""
    return once("dicom", make_dicom) / "site" / "datalist.json"


@pytest.fixture(scope="session")
def nifti() -> Path:
    """A datalist of patches of volumes."""
    return once("nifti", make_nifti) / "site" / "datalist.json"


KINDS = {"body_region_radiograph": ("dicom", "4"), "hippocampus_region_3d": ("nifti", "8")}
"""By bundle, the fixture of its images and how many epochs tell them apart."""
QUICK = {"batch_size": 12, "held_out_folds": 2}
"""For the training: more steps an epoch, since there are few images."""


stage = demo._run


def quickly(out: Path, bundle_name: str, command: str, site: str, **overrides: object) -> None:
    """A stage of the demo, in less time."""
    stage(out, bundle_name, command, site, **overrides, **(QUICK if command == "train" else {}))


@pytest.fixture(scope="session", params=KINDS)
def hospitals(request) -> tuple[Path, Path]:
    """Two hospitals with two of the three classes each, their packages, a transfer; a copy of the bundle."""
    data, epochs = KINDS[request.param]
    given = ("--data", str(request.getfixturevalue(data)), "--max-epochs", epochs)

    def make(out: Path) -> None:
        sites = ("--sites", "2", "--classes-per-site", "2")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(demo, "_run", quickly)
            assert run("demo", "--bundle", request.param, *given, "--out", str(out), *sites) == 0
        shutil.copytree(ROOT / "bundles" / request.param, out / "bundle")

    out = once(request.param, make)
    return out, out / "bundle" / "configs"


def student(out: Path) -> Path:
    return next(p for p in sorted(out.glob("sites/*.yaml")) if "teachers:" in p.read_text())


def test_a_queried_class_is_gained(hospitals):
    out, _ = hospitals
    summary = json.loads((out / "summary.json").read_text())
    assert summary["before"]["query_recall"] == 0 and summary["after"]["query_recall"] >= 0.5
    card = load_model(out / "model").card
    expected = {"display": [28, 28], "relative": [24, 24, 24]}[card.input.intensity]
    assert card.input.spatial_size == expected and len(card.label_space) == 3


def test_the_other_stages_run_with_the_same_configs(hospitals, tmp_path):
    out, configs = hospitals
    site = student(out)
    items = json.loads(Path(yaml.safe_load(site.read_text())["data"]).read_text())["test"][:4]
    (tmp_path / "new").mkdir()
    for item in items:
        shutil.copy(Path(site.parent.parent / "data" / item["image"]), tmp_path / "new")
    common = {"model": str(out / "model"), "mlflow": f"sqlite:///{tmp_path}/m.db"}
    bundle.run(
        [configs / "train.yaml", configs / "inference.yaml", site],
        images=str(tmp_path / "new"),
        result=str(tmp_path / "predictions.csv"),
        **common,
    )
    with (tmp_path / "predictions.csv").open() as f:
        rows = list(csv.reader(f))
    assert len(rows) == 1 + len(items) and len(rows[0]) == 3 + 3
    bundle.run(
        [configs / "train.yaml", configs / "evaluate.yaml", site],
        result=str(tmp_path / "evaluation.json"),
        **common,
    )
    summary = json.loads((out / "summary.json").read_text())
    evaluation = json.loads((tmp_path / "evaluation.json").read_text())
    for name, row in summary["after"]["per_class"].items():
        assert evaluation["per_class"][name]["recall"] == row["recall"], name
    queried = tmp_path / "site.yaml"
    queried.write_text(yaml.safe_dump({**yaml.safe_load(site.read_text()), "query_dir": str(tmp_path / "q")}))
    bundle.run([configs / "train.yaml", configs / "query.yaml", queried], yes=True)
    other = next(
        p
        for p in sorted(out.glob("sites/*.yaml"))
        if summary["student"]["query"][0] in yaml.safe_load(p.read_text())["classes"]
    )
    bundle.run(
        [configs / "train.yaml", configs / "answer.yaml", other],
        request=str(tmp_path / "q"),
        response_dir=str(tmp_path / "a"),
        ledger=str(tmp_path / "ledger.db"),
        new_ledger=True,
        policy={"unit": "image", "minimum_patients": 2},
        yes=True,
    )
    verify = ("package", "verify", "--site", str(site), str(tmp_path / "a"))
    assert run(*verify, "--query", str(tmp_path / "q")) == 0


@pytest.mark.slow
def test_it_trains_with_the_stock_launcher(hospitals, tmp_path):
    out, configs = hospitals
    site = student(out)
    values = {**yaml.safe_load(site.read_text()), "output_dir": str(tmp_path / "out"), "max_epochs": 1}
    (tmp_path / "site.yaml").write_text(yaml.safe_dump(values))
    done = launch_in(configs.parent, tmp_path / "site.yaml")
    assert done.returncode == 0, done.stderr
    assert load_model(tmp_path / "out" / "model").card.task == values["bundle"]


def test_images_of_other_dimensions_are_refused(nifti, tmp_path):
    configs = ROOT / "bundles" / "body_region_radiograph" / "configs"
    values = {"site": "a", "data": str(nifti), "classes": ["front", "back", "neither"]}
    (tmp_path / "site.yaml").write_text(yaml.safe_dump({**values, "output_dir": str(tmp_path)}))
    with pytest.raises(bundle.QKTError, match="a NIfTI volume holds no intensities of the kind 'display'"):
        bundle.run([configs / "train.yaml", tmp_path / "site.yaml"])


def test_a_site_of_ct_images_sets_its_window(dicom, tmp_path):
    for file in (dicom.parent / "images").iterdir():
        header = dcmread(file)
        header.Modality, header.RescaleIntercept = "CT", header.get("RescaleIntercept", -1024)
        header.RescaleSlope = header.get("RescaleSlope", 8)
        (tmp_path / "scans" / header.BodyPartExamined).mkdir(parents=True, exist_ok=True)
        header.save_as(tmp_path / "scans" / header.BodyPartExamined / file.name)
    options = ("--labels", "folder", "--intensity", "HU", "--out", str(tmp_path / "site"))
    assert run("prepare", str(tmp_path / "scans"), *options) == 0
    configs, site = ROOT / "bundles/body_region_radiograph/configs", tmp_path / "site" / "site.yaml"
    with pytest.raises(bundle.QKTError, match="input::intensity_range: is missing"):
        bundle.run([configs / "train.yaml", site], max_epochs=1, **{"input::intensity_range": None})
    values = yaml.safe_load(site.read_text()) | {"input::intensity_range": [-1000, 1000]}
    site.write_text(yaml.safe_dump(values))
    bundle.run([configs / "train.yaml", site], max_epochs=1)
    contract = load_model(tmp_path / "site" / "results" / "model").card.input
    assert (contract.intensity, contract.intensity_range) == ("HU", (-1000, 1000))


@pytest.mark.parametrize("name", NAMES)
def test_the_metadata_of_every_bundle_fit_its_network(name):
    configs = ROOT / "bundles" / name / "configs"
    meta = configs / "metadata.json"
    assert json.loads(meta.read_text())["defaults"]["task"] == name
    verify_metadata(str(meta), filepath=str(ROOT / "configs/schemas/bundle_metadata.json"))
    verify_net_in_out("network_def", str(meta), str(configs / "train.yaml"), device="cpu")
