"""``train`` of a site that asks: networks by folds beside its model, never in it, and never twice."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from clinical_qkt import bundle
from clinical_qkt.bundle import by_folds
from clinical_qkt.bundle.stage import Stage
from clinical_qkt.checking import machine
from clinical_qkt.core.errors import OutputError
from clinical_qkt.core.files import sha256
from clinical_qkt.data.datalist import parse_datalist
from clinical_qkt.packages.model import load_model
from clinical_qkt.site.config import Site
from clinical_qkt.site.launch import Launch
from clinical_qkt.training.own_folds import FILE, NAME
from tests.conftest import CONFIGS

IN_A_PACKAGE = {"card.json", "model.safetensors", "SHA256SUMS", "package.sig"}


def student_of(demo: Path) -> Path:
    return next(p for p in sorted(demo.glob("sites/*.yaml")) if "query:" in p.read_text())


@pytest.fixture
def student(demo, tmp_path) -> tuple[Path, Path]:
    """A site's YAML, and a copy of its folder as it was before it asked for classes."""
    folder = tmp_path / "hospital"
    shutil.copytree(demo / "hospitals" / student_of(demo).stem, folder)
    (folder / FILE).unlink()
    return student_of(demo), folder


def train(site: Path, folder: Path, **keys: object) -> None:
    places = {"output_dir": str(folder), "mlflow": f"sqlite:///{folder / 'mlflow.db'}"}
    bundle.run([CONFIGS / "train.yaml", site], **places, **keys)


def digests(folder: Path) -> dict[str, str]:
    return {f.name: sha256(f) for f in sorted(folder.iterdir())}


def said_nothing(*given: object) -> torch.Tensor:
    return torch.zeros(len(given[-1]), 3)  # type: ignore[arg-type]


def test_the_site_that_asks_has_a_row_for_each_training_image_and_no_other_site_has_any(demo):
    site = yaml.safe_load(student_of(demo).read_text())
    kept = {f.parent.name: load_file(f)[NAME] for f in demo.glob(f"hospitals/*/{FILE}")}

    images = len(parse_datalist(Path(site["data"])).training)
    assert {name: tuple(rows.shape) for name, rows in kept.items()} == {
        site["site"]: (images, len(site["classes"]))
    }
    assert len(kept[site["site"]].unique(dim=0)) > images / 2  # each row is of an image


def test_no_package_and_no_model_folder_holds_what_networks_by_folds_said(demo):
    folders = [*demo.glob("packages/hospital_*"), *demo.glob("hospitals/*/model")]

    assert len(folders) == 6
    assert {f.name for folder in folders for f in folder.iterdir()} <= IN_A_PACKAGE


def test_a_site_that_asks_later_trains_networks_by_folds_and_keeps_its_model_to_the_byte(
    student, monkeypatch
):
    site, folder = student
    before = digests(folder / "model")
    asked: list[list[int]] = []
    monkeypatch.setattr(by_folds, "_said", lambda *given: asked.append(given[-1]) or said_nothing(*given))

    train(site, folder)

    assert digests(folder / "model") == before
    assert sorted(i for mine in asked for i in mine) == list(range(len(load_file(folder / FILE)[NAME])))
    assert len(asked) == 3 and not (folder / "unfinished").exists()
    with pytest.raises(OutputError, match="holds the result of an earlier run"):
        train(site, folder)  # nothing is missing any more


@pytest.mark.parametrize("keys", [{"held_out_folds": 0}, {"query": []}, {"learning_rate": 0.001}])
def test_a_model_is_not_trained_upon_where_no_folds_are_wanted_or_the_training_is_another(student, keys):
    with pytest.raises(OutputError, match="holds the result of an earlier run"):
        train(*student, **keys)


def test_a_training_without_a_fold_is_the_models_own_with_other_images(student, monkeypatch):
    site, folder = student
    before = load_model(folder / "model").network.state_dict()
    made: list[dict[str, torch.Tensor]] = []
    configs = by_folds._config

    def everything(parser, what):
        """All images, so that the network is to be the site's own one."""
        config = configs(parser, what)
        config["train"]["dataset"] = "$_fold.training.dataset"
        return config

    def kept(network, images, device):
        made.append(network.state_dict())
        return torch.zeros(len(images), len(yaml.safe_load(site.read_text())["classes"]))

    monkeypatch.setattr(by_folds, "_config", everything)
    monkeypatch.setattr(by_folds, "logits_of", kept)
    monkeypatch.setattr(by_folds.own_folds, "by_folds", lambda _, said, __: said(0, [0, 1], [0]))

    train(site, folder)

    assert all(torch.equal(value.cpu(), before[name]) for name, value in made[0].items())


def test_one_fold_is_refused_since_nothing_would_be_left():
    with pytest.raises(ValueError, match="without the only part nothing is left"):
        Site.model_validate(
            {"site": "us", "data": "d", "classes": ["a"], "held_out_folds": 1}
            | dict.fromkeys(("output_dir", "package_dir", "query_dir", "transfer_dir", "ledger"), "x")
        )


@pytest.mark.parametrize(
    ("keys", "models"), [({}, 1 + 2), ({"held_out_folds": "5"}, 1 + 4), ({"held_out_folds": "0"}, 1)]
)
def test_check_counts_the_trainings_without_a_fold_in(demo, tmp_path, keys, models):
    words = {"output_dir": str(tmp_path), **keys}
    launch = Launch("train", student_of(demo), CONFIGS.parent, False, words)
    stage = Stage(launch)

    load = machine._load(stage)

    assert load is not None
    images = len(parse_datalist(stage.site.data).training)
    assert load.trained == images * stage.site.max_epochs * models
