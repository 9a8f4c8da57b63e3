"""A transfer takes what networks by folds said of this model and these images, and says where none is."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from clinical_qkt.data.datalist import CheckedData
from clinical_qkt.data.label_space import LabelSpace
from clinical_qkt.qkt import own_held_out
from clinical_qkt.site.config import Site
from clinical_qkt.training import own_folds

LABELS = [0, 1, 2, 0, 1, 0, 1]
"""Of the training images; the third is of the queried class."""
KEPT = torch.arange(12.0).reshape(6, 2)
OWN = torch.full((7, 2), -1.0)


@pytest.fixture
def site(tmp_path) -> Site:
    folders = dict.fromkeys(("output_dir", "package_dir", "query_dir", "transfer_dir", "ledger"), tmp_path)
    return Site(site="us", data=tmp_path / "d.json", classes=["a", "b"], query=["c"], **folders)


@pytest.fixture
def data(tmp_path) -> CheckedData:
    images = [{"image": str(tmp_path / f"{i}.png"), "label": label} for i, label in enumerate(LABELS)]
    return CheckedData("list", True, LabelSpace(["a", "b", "c"]), {"training": images})


def model(weights: str = "f" * 64, guarantee: object = None) -> SimpleNamespace:
    privacy = SimpleNamespace(training=guarantee)
    return SimpleNamespace(card=SimpleNamespace(weights_sha256=weights, privacy=privacy))


@pytest.fixture
def kept(site, data) -> Path:
    path = site.output_dir / own_folds.FILE
    own_folds.write(path, KEPT, own_held_out.made_of(site, model().card, data))
    return path


def test_rows_stand_in_the_images_order_and_images_of_queried_classes_have_the_own_models(site, data, kept):
    found = own_held_out.read(site, model(), data, lambda: OWN)

    assert found is not None and found.shape == (7, 2)
    assert found[2].tolist() == [-1, -1]
    assert torch.equal(found[torch.tensor(LABELS) < 2], KEPT)


def test_images_of_queried_classes_that_come_later_do_not_make_it_anew(site, data, kept):
    data.items["training"] = [i for i in data.items["training"] if i["label"] < 2]

    found = own_held_out.read(site, model(), data, lambda: pytest.fail("nobody needs these"))

    assert found is not None and torch.equal(found, KEPT)


def test_of_another_model_or_other_images_it_is_passed_over_with_one_sentence(site, data, kept, capsys):
    assert own_held_out.read(site, model("0" * 64), data, lambda: OWN) is None
    told = capsys.readouterr().err
    data.items["training"][0]["label"] = 1
    assert own_held_out.read(site, model(), data, lambda: OWN) is None

    assert told.count("\n") == 1 and "run `train` again" in told
    assert capsys.readouterr().err == told


def test_a_class_of_one_patient_is_named_since_train_could_make_nothing(site, data, capsys):
    data.patients = {i["image"]: f"{i['label']}" for i in data.items["training"]}

    assert own_held_out.read(site, model(), data, lambda: OWN) is None

    assert "'a' has too few training images, or of too few patients, for 3 folds" in capsys.readouterr().err


@pytest.mark.parametrize("why", ["turned off", "nothing is asked", "differential privacy"])
def test_nothing_is_said_where_nothing_is_wanted(site, data, why, capsys):
    keys = {"turned off": {"held_out_folds": 0}, "nothing is asked": {"query": []}}.get(why, {})
    own = model(guarantee="of epsilon 8" if why == "differential privacy" else None)

    assert own_held_out.read(site.model_copy(update=keys), own, data, lambda: OWN) is None

    assert capsys.readouterr().err == ""
