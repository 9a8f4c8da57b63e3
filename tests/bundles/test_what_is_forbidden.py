"""What a person forbids on the command line of MONAI's own launcher does not happen."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from clinical_qkt.core.files import sha256
from clinical_qkt.site.ledger.ledger import Ledger
from tests.conftest import CONFIGS
from tests.launcher import launch_bundle


@pytest.fixture
def teacher(demo: Path) -> Path:
    """The YAML of a site of the demo that asks for nothing."""
    return next(p for p in sorted(demo.glob("sites/*.yaml")) if "teachers:" not in p.read_text())


def share(teacher: Path, folder: Path, **overrides: str):
    where = {"package_dir": str(folder / "p"), "ledger": str(folder / "l.db")}
    return launch_bundle([CONFIGS / "train.yaml", CONFIGS / "share.yaml", teacher], **where, **overrides)


@pytest.mark.parametrize("said", ["false", "False", "no", "0", "off", "maybe", '""', "None"])
def test_a_model_that_may_not_leave_stays(teacher, tmp_path, said):
    done = share(teacher, tmp_path, yes=said)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "nobody is there to agree" in done.stderr or "error: the command line: --yes: " in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("key", "said"), [("publish_mask", "no"), ("audit", "maybe"), ("amp", "1"), ("register_model", "off")]
)
def test_a_switch_that_is_neither_stops_the_stage_before_it_begins(teacher, tmp_path, key, said):
    done = share(teacher, tmp_path, yes="true", **{key: said})
    assert done.returncode == 2 and f"--{key}: is neither true nor false (given: " in done.stderr
    assert f"write --{key} true or --{key} false" in done.stderr
    assert not list(tmp_path.iterdir())


def test_what_may_not_be_overwritten_stays_as_it_is(teacher, tmp_path):
    assert share(teacher, tmp_path, yes="true").returncode == 0
    card = sha256(tmp_path / "p" / "card.json")
    for said, code in (("false", 5), ("FALSE", 5), ("maybe", 2), ("no", 2), ("0", 2), ('""', 2)):
        done = share(teacher, tmp_path, yes="true", to="elsewhere", overwrite=said)
        assert done.returncode == code and "Traceback" not in done.stderr, said
        assert sha256(tmp_path / "p" / "card.json") == card
        assert len(Ledger(tmp_path / "l.db").lines("departures")) == 1
    assert share(teacher, tmp_path, yes="TRUE", overwrite="True").returncode == 0
    assert len(Ledger(tmp_path / "l.db").lines("departures")) == 2


def test_a_model_is_not_trained_over(teacher, tmp_path):
    (tmp_path / "out" / "model").mkdir(parents=True)
    (tmp_path / "out" / "model" / "card.json").write_text("mine")
    site = tmp_path / "site.yaml"
    values = yaml.safe_load(teacher.read_text()) | {"output_dir": str(tmp_path / "out")}
    site.write_text(yaml.safe_dump(values))
    for said, code in (("false", 5), ("maybe", 2)):
        assert launch_bundle([CONFIGS / "train.yaml", site], overwrite=said).returncode == code
        assert (tmp_path / "out" / "model" / "card.json").read_text() == "mine"


@pytest.mark.parametrize(
    ("overlays", "overrides", "told"),
    [
        (["transfer"], {"responses": "[recv/x]"}, "write --responses \"['recv/x']\""),
        (["transfer"], {"settings::divergnce": "kl"}, "did you mean 'divergence'"),
        ([], {"spatial_size": "96"}, 'write --spatial_size "[96,96]"'),
        ([], {"train::trainer::max_epoch": "3"}, "did you mean 'max_epochs'"),
        ([], {"optimizer::_target_": "AdamWW"}, "there is no component 'AdamWW'"),
        (["inference"], {}, "give --images FOLDER"),
        (["evaluate"], {"model": "nowhere"}, "or name a model's folder with --model FOLDER"),
    ],
)
def test_the_form_that_works_is_told_with_the_stock_launcher(teacher, overlays, overrides, told):
    files = [CONFIGS / f"{n}.yaml" for n in ("train", *overlays)]
    done = launch_bundle([*files, teacher], **overrides)
    assert done.returncode == 2 and told in done.stderr and "Traceback" not in done.stderr


def test_an_overlay_alone_or_in_the_wrong_place_says_the_order(teacher):
    for files in (["share"], ["share", "train"], ["train", "transfer_light"], ["train_private"]):
        done = launch_bundle([*(CONFIGS / f"{n}.yaml" for n in files), teacher])
        assert done.returncode == 2 and "give the files in this order: train.yaml, " in done.stderr, files
        assert "Traceback" not in done.stderr


def test_an_evaluation_for_which_no_test_image_fits_is_an_error(teacher, demo, tmp_path):
    values = yaml.safe_load(teacher.read_text())
    others = [yaml.safe_load(p.read_text()) for p in sorted(demo.glob("sites/*.yaml")) if p != teacher]
    name, model = next(
        (c, demo / "packages" / o["site"]) for o in others for c in values["classes"] if c not in o["classes"]
    )
    trust = {"untrusted_packages": "accept", "trusted_keys": {}}
    datalist = tmp_path / "data.json"
    content = json.loads(Path(values["data"]).read_text())
    content["test"] = [e for e in content["test"] if e["label"] == name]
    for entry in (e for s in ("training", "validation", "test") for e in content[s]):
        entry["image"] = str((Path(values["data"]).parent / entry["image"]).resolve())
    datalist.write_text(json.dumps(content))
    site = tmp_path / "site.yaml"
    site.write_text(yaml.safe_dump(values | trust | {"data": str(datalist)}))
    files = [CONFIGS / "train.yaml", CONFIGS / "evaluate.yaml", site]
    done = launch_bundle(files, model=str(model), result=str(tmp_path / "r.json"))
    assert done.returncode == 2 and "no test image shows a class that the model knows" in done.stderr
    assert not (tmp_path / "r.json").exists()
