"""A stage refuses images that its bundle is not made for."""

import json

import pytest
import yaml

from clinical_qkt.core.errors import InputError
from clinical_qkt.data.made_for import ImageFacts, MadeFor, fitting, require_made_for
from tests.conftest import ROOT, run
from tests.make_dicom import write_dicom
from tests.prepare.conftest import pictures

BLOOD = MadeFor(formats=["picture"], channels=[3])
RADIOGRAPH = MadeFor(formats=["dicom", "picture"], channels=[1], modalities=["CT", "MR"])


@pytest.mark.parametrize(
    ("made_for", "facts", "reason"),
    [
        (BLOOD, ImageFacts({"picture"}, 3, 2), None),
        (BLOOD, ImageFacts({"dicom"}, 3, 2), "there are DICOM files among the images"),
        (BLOOD, ImageFacts({"picture", "dicom"}, 3, 2), "there are DICOM files among the images"),
        (BLOOD, ImageFacts({"picture"}, 1, 2), "images have 1 channels, and the bundle is made for 3"),
        (RADIOGRAPH, ImageFacts({"dicom"}, 1, 2, {"CT", "OT", ""}), None),
        (RADIOGRAPH, ImageFacts({"dicom"}, 1, 2, {"CT", "US"}), "the modality US"),
    ],
)
def test_what_is_not_made_for_it_is_said(made_for, facts, reason):
    told = made_for.obstacle(facts)
    assert told == reason if reason is None else reason in told


def test_shipped_bundles_are_told_apart_by_their_metadata():
    assert fitting(ImageFacts({"picture"}, 3, 2)) == ["blood_cell_classification"]
    assert fitting(ImageFacts({"picture"}, 1, 2)) == ["body_region_radiograph"]
    assert fitting(ImageFacts({"dicom"}, 1, 2, {"CT"})) == ["body_region_radiograph"]
    assert fitting(ImageFacts({"nifti"}, 1, 3)) == ["hippocampus_region_3d"]
    assert fitting(ImageFacts({"dicom"}, 3, 2)) == [] == fitting(ImageFacts({"nifti"}, 1, 2))
    for file in (ROOT / "bundles").glob("*/configs/metadata.json"):
        MadeFor.model_validate(json.loads(file.read_text())["defaults"]["made_for"])


def test_the_fix_names_the_bundle_that_is():
    with pytest.raises(InputError, match="DICOM files") as e:
        require_made_for(BLOOD, ImageFacts({"dicom"}, 1, 2, {"CT"}), "list.json: image")
    assert "use the bundle body_region_radiograph" in e.value.fix


def test_a_ct_does_not_train_in_the_bundle_of_blood_cells(tmp_path, capfd):
    write_dicom(tmp_path / "scans", pictures(60), ["Head"] * 30 + ["Hand"] * 30, slices=3)
    out = tmp_path / "site"
    assert run("prepare", str(tmp_path / "scans"), "--labels", "BodyPartExamined", "--out", str(out)) == 0
    assert yaml.safe_load((out / "site.yaml").read_text())["bundle"] == "body_region_radiograph"
    capfd.readouterr()
    other = ("--bundle", "blood_cell_classification", "--channels", "1")
    assert run("run", "train", str(out / "site.yaml"), *other) == 2
    told = capfd.readouterr().err
    assert "there are DICOM files" in told and "use the bundle body_region_radiograph" in told
    assert not (out / "results" / "model").exists()


def test_all_bundles_run_the_very_same_configs():
    bundles = {p.parent for p in (ROOT / "bundles").glob("*/configs/metadata.json")}
    assert len(bundles) == 3
    told = [{f.name: f.read_bytes() for f in folder.glob("*.yaml")} for folder in bundles]
    assert len(told[0]) >= 10 and told[0] == told[1] == told[2]
