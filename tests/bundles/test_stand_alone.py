"""Every bundle is a folder that stands alone: copied anywhere, MONAI's own launcher runs it there."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import yaml
from monai.bundle import ConfigParser, ConfigWorkflow
from PIL import Image

from clinical_qkt import bundle
from clinical_qkt.bundle.endings import launched
from clinical_qkt.core.errors import InputError
from clinical_qkt.core.shipped_bundles import bundle_folder, shipped
from clinical_qkt.documentation.bundles import SOURCE, bundles, files, main, strays
from clinical_qkt.networks.spec import find_head
from clinical_qkt.packages.card import Card
from clinical_qkt.packages.model import save_model
from tests.bundles.copies import launch_in
from tests.conftest import ROOT, site_file, square
from tests.make_dicom import write_dicom

NAMES = sorted(shipped())


# Made by one command from one source


def test_all_bundles_are_what_the_command_makes():
    assert len(NAMES) == 3 and [b.name for b in bundles(ROOT)] == NAMES
    again = "run `make bundles`"
    assert strays(ROOT) == [], again
    for path, text in files(ROOT).items():
        assert path.read_text(encoding="utf-8") == text, f"{path.relative_to(ROOT)}: {again}"


def test_the_command_makes_all_equal_and_leaves_what_is_a_bundles_own(tmp_path):
    shutil.copytree(ROOT / "bundles", tmp_path / "bundles")
    shutil.copy(ROOT / "LICENSE", tmp_path)
    other = tmp_path / "bundles" / "hippocampus_region_3d"
    before = {p: p.read_bytes() for p in other.rglob("*") if p.is_file()}
    (other / "configs" / "train.yaml").write_text("changed")
    (other / "configs" / "logging.conf").unlink()
    (other / "configs" / "transfer.yaml").unlink()
    (other / "configs" / "transfer.yaml").symlink_to(tmp_path / SOURCE / "configs" / "transfer.yaml")
    (other / "configs" / "gone.yaml").write_text("of an earlier version")
    (other / "docs" / "README.md").write_text("Mine.\n" + (other / "docs" / "README.md").read_text())
    main(tmp_path)
    after = {p: p.read_bytes() for p in other.rglob("*") if p.is_file() and not p.is_symlink()}
    readme = other / "docs" / "README.md"
    assert after == {**before, readme: b"Mine.\n" + before[readme]}


def test_no_file_of_the_repository_is_a_link():
    folders = [ROOT / name for name in ("bundles", "clinical_qkt", "configs", "docs", "tests")]
    found = [Path(at) / n for f in folders for at, inner, here in os.walk(f) for n in (*inner, *here)]
    assert len(found) > 500
    assert not [p for p in found if p.is_symlink()]


# What a bundle holds


@pytest.mark.parametrize("name", NAMES)
def test_a_bundle_holds_what_those_of_the_model_zoo_hold(name):
    folder = ROOT / "bundles" / name
    assert {p.name for p in folder.iterdir()} == {"LICENSE", "configs", "docs"}
    assert {p.name for p in (folder / "configs").iterdir()} > {"metadata.json", "logging.conf", "train.yaml"}
    meta = json.loads((folder / "configs" / "metadata.json").read_text())
    assert meta["version"] == next(iter(meta["changelog"]))
    required = {"monai": meta["monai_version"], "torch": meta["pytorch_version"]}
    required |= {"numpy": meta["numpy_version"], **meta["required_packages_version"]}
    pinned = (ROOT / "constraints.txt").read_text().splitlines()
    assert not [f"{k}=={v}" for k, v in required.items() if f"{k}=={v}" not in pinned]


@pytest.mark.parametrize("config", sorted((ROOT / SOURCE / "configs").glob("*.yaml")), ids=lambda p: p.stem)
def test_a_config_names_one_module_of_ours_and_in_it_what_there_is(config):
    text = config.read_text()
    assert re.findall(r"clinical_qkt\b(?!\.bundle\b).*", text) == []
    named = set(re.findall(r"\b(?:qkt|clinical_qkt\.bundle)\.(\w+)", text))
    assert "check" in named
    assert not [n for n in named if not hasattr(bundle, n)]


# It runs where it lies


def write_images(name: str, folder: Path) -> None:
    """Two images of the kind that a bundle is for."""
    if name == "hippocampus_region_3d":
        folder.mkdir()
        for seed in range(2):
            patch = np.random.default_rng(seed).random((24, 24, 24), np.float32)
            nib.save(nib.Nifti1Image(patch, np.eye(4)), folder / f"secret_{seed}.nii.gz")
    elif name == "body_region_radiograph":
        pictures = np.stack([square("red", seed, size=28)[..., 0] for seed in range(2)])
        write_dicom(folder, pictures, ["Hand", "CXR"])
    else:
        folder.mkdir()
        for seed in range(2):
            Image.fromarray(square("red", seed, size=28)).save(folder / f"secret_{seed}.png")


def write_model(copy: Path, folder: Path) -> list[str]:
    """An untrained model, made by nothing but what the bundle's own folder says; its classes."""
    parser = ConfigParser()
    parser.read_config(copy / "configs" / "train.yaml")
    parser.read_meta(copy / "configs" / "metadata.json")
    made = {k: parser.get_parsed_content(k) for k in ("task", "spec", "contract", "classes", "network_def")}
    card = Card(
        site="hospital_a", task=made["task"], label_space=made["classes"], network=made["spec"],
        head=find_head(made["network_def"]), input=made["contract"],
    )  # fmt: skip
    save_model(folder, made["network_def"], card)
    return list(made["classes"])


# All stages of the first run from a copy in test_blood_cell_classification.py.
@pytest.mark.parametrize("name", [pytest.param(NAMES[0], marks=pytest.mark.slow), *NAMES[1:]])
def test_a_copied_bundle_runs_in_its_own_folder(name, tmp_path):
    copy = Path(shutil.copytree(ROOT / "bundles" / name, tmp_path / "copy"))
    classes = write_model(copy, tmp_path / "out" / "model")
    write_images(name, tmp_path / "images")
    site = {"site": "hospital_a", "data": "none.json", "classes": classes, "output_dir": "../out"}
    site["untrusted_packages"] = "accept"  # no stage wrote the model
    (copy / "SITE.yaml").write_text(yaml.safe_dump(site))
    done = launch_in(copy, Path("SITE.yaml"), "inference", images="../images")
    assert done.returncode == 0, done.stderr
    with (tmp_path / "out" / "predictions.csv").open() as f:
        rows = list(csv.DictReader(f))
    assert len(rows) == 2 and {row["class"] for row in rows} <= set(classes)
    assert "Setting logging properties based on config: configs/logging.conf." in done.stdout
    log = (tmp_path / "out" / "log" / "inference.log").read_text()
    assert "INFO ignite.engine.engine.SupervisedEvaluator: Engine run finished" in log
    assert "Engine run" not in done.stdout + done.stderr
    assert not [word for word in ("secret", "Invented") if word in log]  # a file's name, a patient's


def test_a_sites_file_that_is_none_is_named_at_the_end_of_monais_own_traceback(tmp_path):
    copy = Path(shutil.copytree(ROOT / SOURCE, tmp_path / "copy"))
    done = launch_in(copy, Path("nowhere.yaml"))
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 1 and last == "FileNotFoundError: Cannot find the config file: nowhere.yaml."
    (copy / "SITE.yaml").write_text("site: a\n data: x\n")
    done = launch_in(copy, Path("SITE.yaml"))
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 1 and 'in "SITE.yaml", line 2' in last


def test_a_copy_of_another_version_is_refused_by_the_name_that_is_no_more(tmp_path):
    copy = Path(shutil.copytree(ROOT / SOURCE, tmp_path / "copy"))
    train = copy / "configs" / "train.yaml"
    train.write_text(train.read_text().replace("clinical_qkt.bundle.Resume", "clinical_qkt.handlers.Resume"))
    with pytest.raises(InputError) as e:
        bundle.run([train, site_file(tmp_path, data="none.json")])
    assert str(e.value) == (
        "the bundle's train.yaml: names clinical_qkt.handlers.Resume, which is not in this version of "
        "clinical-qkt\nTo fix it: copy the bundle anew, and repeat in it what was changed in this copy"
    )


def test_the_bundles_root_is_the_folder_that_holds_it(tmp_path):
    copy = Path(shutil.copytree(ROOT / SOURCE, tmp_path / "copy"))
    files = [str(copy / "configs" / "train.yaml")]
    made = ConfigWorkflow(files, logging_file=False, workflow_type=None, init_id="bundle_root")
    assert made.initialize() == [str(copy)]


@pytest.mark.parametrize(
    ("configs", "named", "same"),
    [
        (ROOT / SOURCE, SOURCE.name, True),
        (Path("copy"), SOURCE.name, False),
        (Path("copy"), "copy", True),
        (Path("copy"), "nowhere", False),
        (Path("copy"), "", False),
    ],
)
def test_whether_a_site_names_the_very_folder_that_is_run(configs, named, same, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / SOURCE, "copy")
    files = [str(configs / "configs" / "train.yaml")]
    made = ConfigWorkflow(files, logging_file=False, workflow_type=None, bundle=named)
    line = launched(made).next_line("evaluate")
    assert line == f"clinical-qkt run evaluate SITE.yaml{'' if same else ' --bundle ./copy'}"


def test_a_copy_that_kept_its_name_is_told_from_the_bundle_that_is_shipped(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert bundle_folder(SOURCE.name) == ROOT / SOURCE
    shutil.copytree(ROOT / SOURCE, SOURCE.name)
    with pytest.raises(InputError, match="is a bundle of the software's and a folder here") as e:
        bundle_folder(SOURCE.name)
    assert e.value.fix == (
        f"write ./{SOURCE.name} for the folder, or {ROOT / SOURCE} for the one that comes with the software"
    )
    assert bundle_folder(f"./{SOURCE.name}").resolve() == tmp_path / SOURCE.name
    assert bundle_folder(str(ROOT / SOURCE)) == ROOT / SOURCE
    monkeypatch.chdir(ROOT / SOURCE.parent)
    assert bundle_folder(SOURCE.name) == ROOT / SOURCE
