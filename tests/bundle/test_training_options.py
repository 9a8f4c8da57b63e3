"""What a site says of its training reaches the training, its checkpoints, its folds and its records."""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar

import mlflow
import numpy as np
import pytest
import torch
import yaml
from sklearn.utils.class_weight import compute_class_weight

from clinical_qkt import bundle
from clinical_qkt.bundle import by_folds
from clinical_qkt.bundle.training_options import class_weights, tell_class_weights, tell_other_shadows
from clinical_qkt.core.errors import InputError
from clinical_qkt.packages.model import load_model
from tests.bundle.test_looks_in_training import FACTS, site, stage  # noqa: F401
from tests.conftest import CONFIGS


def test_checkpoints_of_one_choice_are_none_of_another(site):  # noqa: F811
    from clinical_qkt.bundle.loading import unfinished

    plain = stage(site)
    before = unfinished(plain.site, "train", *(plain.value(key) for key in FACTS))
    assert plain.value("unfinished") == before  # as they were named before there was a choice
    words = ("--keep best", "--keep best --early_stopping 2", "--keep best --early_stopping 3",
             "--keep best --val_interval 2", "--class_weights balanced")  # fmt: skip
    assert len({before, *(stage(site, *w.split()).value("unfinished") for w in words)}) == 6


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            "--early_stopping 3",
            "early_stopping: the last weights of a training that stopped are not its best",
        ),
        ("--keep first", "keep: must be 'last' or 'best'"),
        ("--class_weights inverse", "class_weights: must be 'none' or 'balanced'"),
        ("--keep best --early_stopping 0", "early_stopping"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(site, words, says):  # noqa: F811
    with pytest.raises(InputError, match=says):
        stage(site, *words.split())


class Data:
    """Of two classes, nine images of the first and one of the second."""

    items: ClassVar = {"training": [{"label": int(i == 9)} for i in range(10)]}


def test_balanced_weights_are_those_of_scikit_learn_and_told(capsys):
    labels = [0] * 9 + [1]
    found = class_weights("balanced", Data(), torch.device("cpu"))
    assert np.allclose(found, compute_class_weight("balanced", classes=np.array([0, 1]), y=labels))
    tell_class_weights(found, ["a", "b"])
    assert "class weights in the loss: a 0.56, b 5.00" in capsys.readouterr().err
    assert class_weights("none", Data(), torch.device("cpu")) is None
    tell_class_weights(None, ["a", "b"])
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("key", ["--keep best", "--class_weights balanced"])
def test_differential_privacy_refuses_each_choice_in_a_sentence(demo, tmp_path, key):
    files = [CONFIGS / "train.yaml", CONFIGS / "train_private.yaml", next(demo.glob("sites/*.yaml"))]
    name, value = key.removeprefix("--").split()
    with pytest.raises(InputError, match=f"'{name}.*cannot be had with differential privacy"):
        bundle.run(
            files, **{name: value, "output_dir": str(tmp_path), "mlflow": f"sqlite:///{tmp_path}/m.db"}
        )
    assert not (tmp_path / "model").exists()


def test_a_site_trains_so_with_its_folds_and_its_records_tell(demo, tmp_path, capsys, monkeypatch):
    site = next(p for p in sorted(demo.glob("sites/*.yaml")) if "query:" in p.read_text())  # noqa: F811
    kept: list[Path] = []
    drop = by_folds.drop_unfinished
    monkeypatch.setattr(by_folds, "drop_unfinished", lambda f: kept.extend(f.glob("best/*.pt")) or drop(f))
    keys = {"keep": "best", "class_weights": "balanced", "max_epochs": 2, "held_out_folds": 2,
            "output_dir": str(tmp_path), "mlflow": f"sqlite:///{tmp_path / 'm.db'}"}  # fmt: skip
    bundle.run([CONFIGS / "train.yaml", site], **keys)
    noted = json.loads((tmp_path / by_folds.RECIPE).read_text())
    card = load_model(tmp_path / "model").card
    assert card.training and card.training.epochs == noted["best_epoch"] in (1, 2)
    assert len(kept) == 2  # one of each fold
    client = mlflow.MlflowClient(keys["mlflow"], keys["mlflow"])
    (run,) = client.search_runs([e.experiment_id for e in client.search_experiments()])
    assert run.data.params["keep"] == "best" and run.data.params["class_weights"] == "balanced"
    assert run.data.metrics["best_val_recall"] == pytest.approx(noted["best_val_recall"])
    told = capsys.readouterr().err
    name = yaml.safe_load(site.read_text())["site"]
    assert f"train {name}: kept the weights of epoch" in told and "class weights in the loss" in told
    assert f"train {name} without fold 1 of 2: kept the weights of epoch" in told
    assert not (tmp_path / "unfinished").exists()


def test_an_audit_says_that_its_shadow_models_are_trained_in_another_way(capsys):
    tell_other_shadows("last", "none")
    assert capsys.readouterr().err == ""
    for chosen in (("best", "none"), ("last", "balanced")):
        tell_other_shadows(*chosen)
        assert "shadow models" in capsys.readouterr().err
