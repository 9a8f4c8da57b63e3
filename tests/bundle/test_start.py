"""What a training starts from and trains: from a site's YAML to model, card, folds, checkpoints and audit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mlflow
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file, save_file

from clinical_qkt import bundle
from clinical_qkt.audit.own import audit_of
from clinical_qkt.audit.shadows import Recipe
from clinical_qkt.bundle.earlier_copies import require_known
from clinical_qkt.bundle.start import read_pretrained
from clinical_qkt.core.errors import InputError
from clinical_qkt.core.files import sha256
from clinical_qkt.networks.spec import NetworkSpec, preset
from clinical_qkt.packages.model import load_model
from clinical_qkt.training.own_folds import FILE, NAME
from tests.bundle.test_looks_in_training import stage
from tests.conftest import CONFIGS, square

CLASSES = ["red", "green", "blue"]
COUNTS = {"training": 12, "validation": 4, "test": 2}
NOTES = {"name": "squares", "source": "a test", "licence": "CC0"}


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A site that asks for a class, with three of its own and a file of weights for five."""
    listed: dict[str, list[dict[str, Any]]] = {section: [] for section in COUNTS}
    for section, count in COUNTS.items():
        for i in range(count):
            for kind in CLASSES:
                file = tmp_path / f"{section}_{kind}_{i}.png"
                Image.fromarray(square(kind, 1000 * list(COUNTS).index(section) + i)).save(file)
                listed[section].append({"image": file.name, "label": kind})
    (tmp_path / "data.json").write_text(json.dumps(listed))
    torch.manual_seed(3)
    weights = preset("resnet_small", 3, [28, 28]).build(5).state_dict()
    save_file(weights, tmp_path / "weights.safetensors", NOTES)
    values = {
        "site": "us", "data": str(tmp_path / "data.json"), "classes": CLASSES, "query": ["yellow"],
        "output_dir": str(tmp_path / "out"), "mlflow": f"sqlite:///{tmp_path / 'mlflow.db'}",
        "pretrained": str(tmp_path / "weights.safetensors"), "max_epochs": 2, "batch_size": 8,
        "held_out_folds": 2,
    }  # fmt: skip
    (tmp_path / "site.yaml").write_text(yaml.safe_dump(values))
    return tmp_path / "site.yaml"


def changed(site: Path) -> set[str]:
    """The names of the trained model's tensors that are not as the file has them."""
    state = load_model(site.parent / "out" / "model").network.state_dict()
    file = load_file(site.parent / "weights.safetensors")
    return {k for k, v in state.items() if v.shape != file[k].shape or not torch.equal(v, file[k])}


def test_a_head_is_trained_on_features_that_are_computed_once_and_all_else_is_the_files(site, capfd):
    bundle.run([CONFIGS / "train.yaml", site], trained_layers="head")

    told = capfd.readouterr().out
    assert changed(site) == {"fc.weight", "fc.bias"}
    assert told.count("frozen features of 36 training images: once") == 1  # folds use the same
    assert told.count("frozen features of 12 validation images") == 1
    assert told.count("pretrained weights: squares") == 1 and "licence CC0" in told
    card = load_model(site.parent / "out" / "model").card
    digest = sha256(site.parent / "weights.safetensors")
    assert [p.model_dump() for p in card.pretrained] == [
        {"sha256": digest, "trained_layers": "head", **NOTES}
    ]
    report = json.loads((site.parent / "out" / "pretrained.json").read_text())
    assert report["new"] == ["fc.weight", "fc.bias"] and report["sha256"] == digest
    rows = load_file(site.parent / "out" / FILE)[NAME]
    assert tuple(rows.shape) == (36, 3) and len(rows.unique(dim=0)) > 18


def test_a_head_is_fitted_at_once_with_its_folds_and_its_records_tell(site, capfd):
    keys = {"trained_layers": "head", "head_penalty": 0.5, "class_weights": "balanced"}
    bundle.run([CONFIGS / "train.yaml", site], **keys)

    assert changed(site) == {"fc.weight", "fc.bias"}
    card = load_model(site.parent / "out" / "model").card
    assert card.training and (card.training.head_penalty, card.training.epochs) == (0.5, 1)
    rows = load_file(site.parent / "out" / FILE)[NAME]
    assert tuple(rows.shape) == (36, 3) and len(rows.unique(dim=0)) > 18
    uri = yaml.safe_load(site.read_text())["mlflow"]
    client = mlflow.MlflowClient(uri, uri)
    (run,) = client.search_runs([e.experiment_id for e in client.search_experiments()])
    assert run.data.params["head_penalty"] == "0.5" and "val_recall" in run.data.metrics
    # the same again, whatever epochs, batch and rate
    first = load_file(site.parent / "out" / "model" / "model.safetensors")
    others = {"max_epochs": 5, "batch_size": 4, "learning_rate": 0.5, "overwrite": True}
    bundle.run([CONFIGS / "train.yaml", site], **keys, **others)
    again = load_file(site.parent / "out" / "model" / "model.safetensors")
    assert all(torch.allclose(first[name], again[name], atol=1e-3) for name in first)
    recipe = audit_of(
        load_model(site.parent / "out" / "model"), stage(site, name="share").value("labelled"), [], 2, 0,
        site.parent, weights=read_pretrained(stage(site, "--trained_layers", "head").site, card.network),
    ).recipe  # fmt: skip
    items = [{"image": torch.rand(3, 28, 28), "label": i % 3} for i in range(12)]
    told = {"seed": 0, "device": torch.device("cpu"), "what": "", "work": None}
    shadow = recipe.train(recipe, recipe.begun(3), items, **told)
    labels = torch.tensor([item["label"] for item in items])
    assert torch.equal(shadow(torch.stack([item["image"] for item in items])).argmax(1), labels)


def test_what_follows_the_early_stages_is_trained_and_these_are_the_files(site):
    bundle.run([CONFIGS / "train.yaml", site], trained_layers="last", query=[])

    assert changed(site) and all(name.startswith(("layer3.", "layer4.", "fc.")) for name in changed(site))
    assert "layer3.0.bn1.running_mean" in changed(site)


def test_a_head_can_be_trained_privately_on_a_network_with_batch_norm(site, capfd):
    files = [CONFIGS / "train.yaml", CONFIGS / "train_private.yaml", site]
    bundle.run(files, trained_layers="head", architecture="resnet_small", delta=0.01)

    assert changed(site) == {"fc.weight", "fc.bias"}
    assert load_model(site.parent / "out" / "model").card.privacy.training is not None


def test_a_head_cannot_be_fitted_at_once_and_privately(site):
    files = [CONFIGS / "train.yaml", CONFIGS / "train_private.yaml", site]
    with pytest.raises(InputError, match="'head_penalty 0.5' cannot be had with differential privacy"):
        bundle.run(files, trained_layers="head", head_penalty=0.5, architecture="resnet_small")
    assert not (site.parent / "out" / "model").exists()


def test_unfinished_work_is_never_that_of_other_weights_or_layers(site):
    weights = site.parent / "weights.safetensors"

    def name(*words: str) -> Path:
        return stage(site, *words).value("unfinished")

    before = [name(), name("--trained_layers", "last"), name("--trained_layers", "head")]
    values = yaml.safe_load(site.read_text())
    del values["pretrained"]
    site.write_text(yaml.safe_dump(values))
    before.append(name())
    before.append(name("--pretrained", str(weights), "--trained_layers", "head", "--head_penalty", "0.5"))
    state = load_file(weights)
    save_file({**state, "conv1.weight": state["conv1.weight"] + 1}, weights, NOTES)
    before.append(name("--pretrained", str(weights)))
    assert len(set(before)) == 6
    weights.unlink()
    with pytest.raises(SystemExit) as e:
        name("--pretrained", str(weights))
    assert "there is no such file" in str(e.value.__cause__)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--trained_layers", "some"), "trained_layers: must be 'all', 'last' or 'head'"),
        (("--trained_layers", "head", "--look_augmentation", "mild"), "each is looked at once"),
        (("--pretrained", ""), "pretrained: is empty"),
        (("--head_penalty", "0.5"), "head_penalty: is of a head that is trained alone"),
        (("--trained_layers", "head", "--head_penalty", "0"), "head_penalty"),
        (("--trained_layers", "head", "--head_penalty", "nan"), "head_penalty"),
        (("--trained_layers", "head", "--head_penalty", "1", "--keep", "best"), "no epochs of which one"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(site, words, told):
    with pytest.raises(InputError, match=told):
        stage(site, *words)


@pytest.mark.parametrize("layers", ["last", "head"])
def test_what_is_random_is_not_frozen(site, layers):
    values = yaml.safe_load(site.read_text())
    del values["pretrained"]
    site.write_text(yaml.safe_dump(values))
    with pytest.raises(InputError, match="without 'pretrained' is random"):
        stage(site, "--trained_layers", layers)


@pytest.mark.parametrize("layers", ["last", "head"])
def test_styles_of_frozen_features_cannot_be_mixed(site, layers):
    with pytest.raises(SystemExit) as e:
        stage(site, "--trained_layers", layers, "--mix_style", "true").value("learner")
    assert "mixes early features" in str(e.value.__cause__) and "trained_layers: all" in str(
        e.value.__cause__
    )


def test_a_bundle_that_knows_nothing_of_fitted_heads_is_refused(site):
    checked = stage(site, "--trained_layers", "head", "--head_penalty", "0.5").site
    with pytest.raises(InputError, match="from before a head could be fitted"):
        require_known(checked, {"train": {"weights": ""}}, Path("bundle"))
    require_known(checked.model_copy(update={"head_penalty": None}), {"train": {"weights": ""}}, Path("b"))


def test_a_bundle_that_knows_nothing_of_weights_is_refused(site):
    checked = stage(site).site
    with pytest.raises(InputError, match="from before there were pretrained weights"):
        require_known(checked, {"train": {}}, Path("bundle"))
    require_known(checked.model_copy(update={"pretrained": None}), {"train": {}}, Path("bundle"))


def test_shadow_models_start_from_the_same_weights_and_train_the_same_layers(site):
    spec = preset("resnet_small", 3, [28, 28])
    found = read_pretrained(stage(site, "--trained_layers", "head").site, spec)
    assert found is not None
    recipe, plain = Recipe(spec, 2, 8, 0.003, weights=found), Recipe(spec, 2, 8, 0.003)
    network = recipe.begun(3)
    assert torch.equal(network.state_dict()["conv1.weight"], found.tensors["conv1.weight"])
    assert [n for n, p in network.named_parameters() if p.requires_grad] == ["fc.weight", "fc.bias"]
    assert recipe.facts() != plain.facts()


def test_an_audit_of_a_model_with_pretrained_weights_asks_for_the_same_file(site, members):
    model, data = members[0].model, stage(site, name="share")
    assert isinstance(model.card.network, NetworkSpec)
    found = read_pretrained(data.site, model.card.network)
    assert found is not None
    object.__setattr__(model, "card", model.card.model_copy(update={"training": _training()}))
    with pytest.raises(InputError, match="started from random weights") as e:
        audit_of(model, None, [], 2, 0, site.parent, weights=found)  # type: ignore[arg-type]
    assert "without an audit" in e.value.fix


def _training() -> Any:
    from clinical_qkt.privacy.statement import TrainingSummary

    return TrainingSummary(images={}, epochs=1, batch_size=8, learning_rate=0.1)
