"""Every key of every stage is read by its type, before anything acts on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from monai.bundle import ConfigParser, ConfigWorkflow

from clinical_qkt.bundle import config_keys
from clinical_qkt.bundle.literals import leaves, readers
from clinical_qkt.bundle.sections import read_settings
from clinical_qkt.bundle.stage_keys import StageKeys
from clinical_qkt.core.errors import InputError
from clinical_qkt.core.shipped_bundles import chain
from clinical_qkt.core.values import plain_type, true_or_false
from clinical_qkt.qkt.settings import TransferSettings
from clinical_qkt.site.config import Site
from tests.conftest import CONFIGS

STAGES = sorted(p.stem for p in CONFIGS.glob("*.yaml"))
KNOWN = {
    *("yes", "overwrite", "audit", "amp", "publish_mask", "register_model", "allow_mixed_sizes"),
    *("train::trainer::decollate", "train::dataloader::shuffle"),
}
NO_SWITCH = ("no", "0", "off", "maybe", "", 0, 1, None, [True])


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "data.json").write_text("{}")
    values = {
        "site": "us",
        "data": str(tmp_path / "data.json"),
        "classes": ["a", "b"],
        "query": ["c"],
        "teachers": ["recv/x"],
        "assessments": ["recv/y"],
        "output_dir": str(tmp_path / "out"),
    }
    (tmp_path / "site.yaml").write_text(yaml.safe_dump(values))
    return tmp_path / "site.yaml"


def workflow(site: Path, stage: str, **overrides: Any) -> ConfigWorkflow:
    files = [*(CONFIGS / f"{n}.yaml" for n in chain(stage, STAGES)), site]
    asked = {"request": str(site.parent)}
    given = {"inference": {"images": str(site.parent)}, "answer": asked, "assess": asked}
    return ConfigWorkflow(
        [str(f) for f in files], logging_file=False, workflow_type=None, **given.get(stage, {}), **overrides
    )


def switches(stage: str, site: Path) -> list[str]:
    """Every key of a stage that is true or false: of its models, and wherever its files hold a boolean."""
    parser = workflow(site, stage).parser
    found = [
        key
        for model in (Site, StageKeys)
        for key, field in model.model_fields.items()
        if plain_type(field.annotation) is bool and key in parser
    ]
    files = [ConfigParser.load_config_file(f) for f in sorted(CONFIGS.glob("*.yaml"))]
    nested = [at for at, reader in readers(files).items() if reader is true_or_false]
    here = {at for at, _ in leaves(parser.get(""))}
    return found + ["::".join(map(str, at)) for at in nested if at in here]


def test_the_walk_finds_the_keys_that_are_known_to_be_true_or_false(site):
    found = {key for stage in STAGES for key in switches(stage, site)}
    assert found >= KNOWN
    for stage in STAGES:
        assert {"overwrite", "amp", "publish_mask"} <= set(switches(stage, site)), stage
    assert {"yes", "audit"} <= set(switches("share", site))
    assert "yes" in switches("query", site) and "yes" in switches("answer", site)


@pytest.mark.parametrize("stage", STAGES)
def test_no_stage_takes_anything_but_true_and_false_for_a_switch(site, stage):
    made = workflow(site, stage)
    for key in switches(stage, site):
        right = made.parser[key]
        for value in NO_SWITCH:
            made.parser[key] = value
            with pytest.raises(InputError, match="neither true nor false") as e:
                config_keys.check(made)
            assert key.replace("::", ".") in e.value.problem and e.value.exit_code == 2
            assert "true" in e.value.fix and "false" in e.value.fix
        made.parser[key] = right


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize(
    ("text", "meant"), [("false", False), ("FALSE", False), ("true", True), ("True", True)]
)
def test_the_texts_true_and_false_are_what_they_say(site, stage, text, meant):
    found = switches(stage, site)
    made = workflow(site, stage, **dict.fromkeys(found, text))
    checked = config_keys.check(made)
    for key in found:
        assert made.parser[key] is meant, key
        assert made.parser.get_parsed_content(key) is meant, key
        assert getattr(checked, key, meant) is meant


def test_a_text_is_put_right_after_the_config_was_parsed(site):
    made = workflow(site, "share", yes="false", **{"train::dataloader::shuffle": "False"})
    made.parser.parse()
    made.parser.get_parsed_content("imports")
    config_keys.check(made)
    assert made.parser.get_parsed_content("yes") is False
    items = made.parser.ref_resolver.items
    assert items["train::dataloader"].get_config()["shuffle"] is False
    assert items["train"].get_config()["dataloader"]["shuffle"] is False


def test_an_argument_that_is_added_to_a_component_is_read_as_strictly(site):
    made = workflow(site, "train", **{"train::dataloader::drop_last": "false", "optimizer::amsgrad": "True"})
    config_keys.check(made)
    assert made.parser["train::dataloader::drop_last"] is False and made.parser["optimizer::amsgrad"] is True
    with pytest.raises(InputError, match=r"train\.dataloader\.drop_last: is neither"):
        config_keys.check(workflow(site, "train", **{"train::dataloader::drop_last": "no"}))


@pytest.mark.parametrize(
    ("stage", "overrides", "told"),
    [
        ("train", {"seed": 1.5}, "seed: is no whole number (given: 1.5)"),
        ("train", {"seed": True}, "seed: is no whole number (given: true)"),
        ("train", {"max_epochs": "ten"}, "max_epochs: is no whole number (given: 'ten')"),
        ("train", {"max_epochs": 8.0}, "max_epochs: is no whole number (given: 8.0)"),
        ("train", {"learning_rate": "fast"}, "learning_rate: is no number"),
        ("train", {"learning_rate": float("inf")}, "learning_rate: must be finite"),
        ("train", {"spatial_size": 96}, "spatial_size: is no list (given: 96)"),
        ("train", {"spatial_size": [28, "28"]}, "spatial_size: is no whole number"),
        ("train", {"val_interval": 0}, "val_interval: must be at least 1"),
        ("train", {"optimizer::weight_decay": "little"}, "optimizer.weight_decay: is no number"),
        ("train", {"train::dataloader::num_workers": 1.5}, "num_workers: is no whole number"),
        ("train", {"device": "gpu"}, "device: there is no 'gpu' here"),
        ("train", {"policy::epsilon": "much"}, "policy.epsilon: is no number (given: 'much')"),
        ("train", {"policy": {"epsilonn": 1}}, "policy.epsilonn: is an unknown key; did you mean 'epsilon'"),
        (
            "train",
            {"policy::unit": "pacient"},
            "policy.unit: must be 'patient' or 'image'",
        ),
        ("train", {"acceptance::query_recall": 500}, "acceptance.query_recall: must be at most 100"),
        ("train", {"command": "dance"}, "command: must be 'train'"),
        ("train_private", {"epsilon": "small"}, "epsilon: is no number"),
        ("train_private", {"delta": 2}, "delta: must be below 1"),
        ("share", {"precision": "float8"}, "precision: must be 'float32' or 'float16'"),
        ("share", {"shadow_models": "x"}, "shadow_models: is no whole number"),
        ("share", {"to": 7}, "to: is no text (given: 7)"),
        ("evaluate", {"model": 3}, "model: is no path"),
        ("transfer", {"responses": "[recv/x]"}, "responses: is no list (given: '[recv/x]')"),
        (
            "transfer",
            {"settings::divergnce": "kl"},
            "divergnce: is an unknown key; did you mean",
        ),
        ("transfer", {"settings::reserve": 0.25}, "settings.reserve: was removed: take it out; how sure"),
        ("transfer", {"settings::probes": "many"}, "settings.probes: is no whole number"),
        (
            "transfer",
            {"settings::participants": "relevnt"},
            "settings.participants: must be 'all' or 'relevant'",
        ),
        ("query", {"settings::welcome": "mean"}, "settings.welcome: is no list"),
        ("query", {"settings::depth": None}, "settings.depth: is an unknown key; did you mean 'depths'?"),
        ("train", {"task": "a b"}, "task: takes 1 to 64 letters"),
        ("train", {"output_dir": ""}, "output_dir: is empty"),
        ("train", {"architecture": "resnet"}, "architecture: 'resnet' is not on the list"),
        ("train", {"initialize": "x"}, "initialize: is a section in the bundle's files"),
        ("train", {"run": None, "train": "x"}, "train: is a section in the bundle's files (given: 'x')"),
        ("train", {"train::handlers": 3}, "train.handlers: is a section in the bundle's files"),
        ("train", {"labelled": "x"}, "labelled: is worked out from others in the bundle's files"),
        ("train", {"made_for": "x"}, "made_for: is worked out from others in the bundle's files"),
        (
            "train",
            {"train::trainer::max_epoch": 3},
            "max_epoch: is an unknown key; did you mean 'max_epochs'?",
        ),
        ("train", {"loss::_target_": "Loss"}, "loss._target_: there is no component 'Loss'"),
        ("train", {"licence": "@nothing"}, "licence: cannot be evaluated"),
        ("train", {"learning_rate": "$1/0"}, "learning_rate: cannot be evaluated (ZeroDivisionError)"),
        ("share", {"yes": "$1"}, "yes: is neither true nor false (given: 1)"),
    ],
)
def test_a_wrong_value_is_told_with_its_key_and_what_was_given(site, stage, overrides, told):
    with pytest.raises(InputError) as e:
        config_keys.check(workflow(site, stage, **overrides))
    assert told in e.value.problem and e.value.fix
    assert "http" not in str(e.value) and "pydantic" not in str(e.value)


def test_a_number_that_yaml_takes_for_a_text_is_one(site):
    made = workflow(site, "train", learning_rate="3e-3")
    assert config_keys.check(made).learning_rate == made.parser.get_parsed_content("learning_rate") == 0.003


def test_an_overlay_without_what_it_lies_over_says_which_file_is_missing(site):
    for stage in (s for s in STAGES if s != "train"):
        alone = ConfigWorkflow(
            [str(CONFIGS / f"{stage}.yaml"), str(site)], logging_file=False, workflow_type=None
        )
        with pytest.raises(SystemExit) as e:
            alone.initialize()
        assert e.value.code == 2
        order = ", ".join(f"{n}.yaml" for n in chain(stage, STAGES))
        assert f"{stage}.yaml is an overlay" in str(e.value.__cause__) and order in str(e.value.__cause__)


def test_a_key_that_yaml_takes_for_true_is_to_be_put_into_quotes(site):
    site.write_text(site.read_text() + "yes: true\n")  # YAML 1.1 reads the key as true
    with pytest.raises(InputError, match="the key True is no text"):
        config_keys.check(workflow_of(site))


def workflow_of(site: Path) -> ConfigWorkflow:
    """A workflow whose parser was given a site's file as it stands."""
    made = workflow(site.parent / "plain.yaml" if _plain(site) else site, "share")
    made.parser.get("").update(yaml.safe_load(site.read_text()))
    return made


def _plain(site: Path) -> bool:
    values = {k: v for k, v in yaml.safe_load(site.read_text()).items() if isinstance(k, str)}
    (site.parent / "plain.yaml").write_text(yaml.safe_dump(values))
    return True


def test_a_site_of_one_class_cannot_train_but_may_answer(site):
    with pytest.raises(InputError, match="a classifier needs two classes"):
        config_keys.check(workflow(site, "train", classes=["a"]))
    assert config_keys.check(workflow(site, "answer", classes=["a"])).labels.names == ["a"]


@pytest.mark.parametrize(
    ("stage", "overrides", "told"),
    [
        ("inference", {"images": None}, "images: is missing"),
        ("inference", {"images": "nowhere"}, "images: nowhere: there is no such folder"),
        ("inference", {"images": __file__}, "is a file"),
        ("answer", {"request": None}, "request: is missing"),
        ("answer", {"request": "nowhere"}, "request: nowhere: there is no such folder"),
        (
            "train",
            {"data": "nowhere.json"},
            "the datalist cannot be read (there is no such file)",
        ),
        ("train", {"data": "/"}, "the datalist cannot be read (it is a folder)"),
    ],
)
def test_what_a_stage_needs_is_asked_for_before_it_begins(site, stage, overrides, told):
    made = workflow(site, stage)
    made.parser.update(overrides)
    with pytest.raises(InputError) as e:
        config_keys.check(made)
    assert told in str(e.value) and e.value.fix


def test_what_a_config_may_say_otherwise_is_taken(site):
    others = {
        "train::trainer::max_epochs": 3,
        "loss": {"_target_": "torch.nn.CrossEntropyLoss", "label_smoothing": 0.1},
        "optimizer::amsgrad": True,
        "augment": "$[]",
        "train::key_metric": None,
        "train::dataloader::num_workers": 1,
        "_note": "no",
    }
    assert config_keys.check(workflow(site, "train", **others)).site == "us"


# Keys under the names that they had before


def test_old_names_in_a_sites_file_are_taken_and_the_bundles_own_value_does_not_hide_them(site, capsys):
    values = yaml.safe_load(site.read_text())
    before = {"answers": ["recv/y"], "settings": {"ask": "relevant", "answers": "each"}}
    site.write_text(yaml.safe_dump({**values, **before}))
    read = config_keys.check(started := workflow(site, "transfer"))
    assert [str(p) for p in read.responses] == ["recv/y"]
    chosen = read_settings(TransferSettings, started.parser.get_parsed_content("settings"))
    assert (chosen.participants, chosen.soft_targets) == ("relevant", "each")
    assert "'answers' is called 'responses' now" in capsys.readouterr().err


def test_the_request_may_be_given_under_its_old_name(site):
    files = [str(f) for f in (CONFIGS / "train.yaml", CONFIGS / "answer.yaml", site)]
    started = ConfigWorkflow(files, logging_file=False, workflow_type=None, asked=str(site.parent))
    config_keys.check(started)
    assert started.parser.get_parsed_content("request") == str(site.parent)


def test_an_old_name_beside_the_new_one_is_refused(site):
    values = yaml.safe_load(site.read_text())
    site.write_text(yaml.safe_dump({**values, "answers": ["a"], "responses": ["b"]}))
    with pytest.raises(InputError, match="is called 'responses' now, which is given, too"):
        config_keys.check(workflow(site, "transfer"))
