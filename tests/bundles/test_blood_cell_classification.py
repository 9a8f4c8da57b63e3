"""The bundle's real configs, run as a site runs them, on a few generated images."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
from pathlib import Path

import mlflow
import pytest
import torch
import yaml
from ignite.engine import Events
from monai.bundle import ConfigWorkflow, verify_metadata, verify_net_in_out

from clinical_qkt.packages.model import load_model
from tests.bundles.copies import launch_in
from tests.conftest import CONFIGS, ROOT


@pytest.fixture
def site(demo: Path, tmp_path: Path) -> Path:
    """The demo's student, with its own folders for results and its models at hand."""
    values = yaml.safe_load(next(demo.glob("sites/*.yaml")).read_text())
    student = next(
        p for p in sorted(demo.glob("sites/*.yaml")) if "teachers" in yaml.safe_load(p.read_text())
    )
    values = yaml.safe_load(student.read_text())
    values |= {"output_dir": str(tmp_path / "out"), "max_epochs": 1, "mlflow": f"sqlite:///{tmp_path}/m.db"}
    values["register_model"] = False  # takes seconds; tests of its own look at that
    del values["package_dir"], values["transfer_dir"]
    (tmp_path / "site.yaml").write_text(yaml.safe_dump(values))
    return tmp_path / "site.yaml"


def launch(site: Path, *overlays: str, **overrides: str) -> subprocess.CompletedProcess[str]:
    """The stock launcher in a copy of the bundle beside the site's YAML, as the README shows it."""
    copy = site.parent / "bundle"
    if not copy.exists():
        shutil.copytree(CONFIGS.parent, copy)
    return launch_in(copy, site, *overlays, **overrides)


def last_error(done: subprocess.CompletedProcess) -> str:
    return done.stderr[done.stderr.index("error: ") :]


def test_a_model_is_trained_with_the_stock_launcher_and_not_over(site, tmp_path):
    done = launch(site, held_out_folds="2")
    assert done.returncode == 0, done.stderr
    # the site names the bundle that is shipped, and this is a copy
    assert f"clinical-qkt run evaluate {site} --bundle ." in " ".join(done.stdout.split())
    model = load_model(tmp_path / "out" / "model")
    classes = yaml.safe_load(site.read_text())["classes"]
    assert model.card.labels.names == classes
    again = launch(site, held_out_folds="2")
    assert again.returncode == 5 and "holds the result of an earlier run" in last_error(again)


@pytest.mark.slow  # tests/docs/test_commands.py runs each stage in one process; and see the test below
def test_each_stage_runs_with_the_stock_launcher(site, demo, tmp_path):
    assert launch(site).returncode == 0
    classes = yaml.safe_load(site.read_text())["classes"]
    assert launch(site, "evaluate").returncode == 0
    evaluation = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert set(evaluation["per_class"]) == set(classes) and 0 <= evaluation["recall"] <= 1

    assert launch(site, "share", publish_mask="true", yes="true").returncode == 0
    card = load_model(tmp_path / "out" / "package").card
    assert set(card.recall) == set(classes) and set(card.knowledge_mask.scores) == set(classes)

    done = launch(site, "transfer")
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "out" / "transfer" / "summary.json").read_text())
    assert summary["before"]["query_recall"] == 0
    after = load_model(tmp_path / "out" / "transfer" / "model")
    assert after.card.labels.names == [*classes, *summary["student"]["query"]]

    done = launch(
        site,
        "inference",
        images=str(demo / "data" / "images"),
        model=str(tmp_path / "out" / "transfer" / "model"),
    )
    assert done.returncode == 0, done.stderr
    with (tmp_path / "out" / "predictions.csv").open() as f:
        rows = list(csv.DictReader(f))
    assert len(rows) == len(list((demo / "data" / "images").glob("*.png")))
    assert {r["class"] for r in rows} <= set(after.card.labels.names)
    assert {r["none_of_these"] for r in rows} == {"yes", "no"}
    assert sum(float(rows[0][f"probability of {n}"]) for n in after.card.labels.names) == pytest.approx(
        1, abs=1e-3
    )


def test_a_query_is_asked_and_answered_with_the_stock_launcher(site, demo, tmp_path):
    values = yaml.safe_load(site.read_text())
    student = values["site"]
    asking = {**values, "output_dir": str(demo / "hospitals" / student), "query_dir": str(tmp_path / "query")}
    site.write_text(yaml.safe_dump({**asking, "teachers": []}))
    done = launch(site, "query", yes="true")
    assert done.returncode == 0, done.stderr

    other = next(
        p
        for p in sorted(demo.glob("sites/*.yaml"))
        if values["query"][0] in yaml.safe_load(p.read_text())["classes"]
    )
    answering = {
        **yaml.safe_load(other.read_text()),
        "output_dir": str(tmp_path / "other"),
        "ledger": str(tmp_path / "other.db"),
        "policy": {"unit": "image", "minimum_patients": 2},
    }
    (tmp_path / "other.yaml").write_text(yaml.safe_dump(answering))
    asked = {"request": str(tmp_path / "query")}
    done = launch(tmp_path / "other.yaml", "answer", yes="true", **asked)
    assert done.returncode == 2 and "give --new_ledger true, if this site has never" in last_error(done)
    asked["new_ledger"] = "true"
    done = launch(tmp_path / "other.yaml", "answer", **asked)
    assert done.returncode == 2 and "give --yes true" in last_error(done)
    done = launch(tmp_path / "other.yaml", "answer", yes="true", **asked)
    assert done.returncode == 0, done.stderr
    assert "private mean" in done.stderr and "(1, 1e-05)-private" in done.stderr
    (answer,) = (tmp_path / "other" / "responses").iterdir()
    assert sum(p.stat().st_size for p in answer.iterdir()) < 20_000

    site.write_text(yaml.safe_dump({**asking, "teachers": [], "responses": [str(answer)]}))
    done = launch(site, "transfer", transfer_dir=str(tmp_path / "t"))
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "t" / "summary.json").read_text())
    assert summary["responses"][0]["classes"][0]["epsilon"] == 1.0


def test_a_misspelt_key_in_the_yaml_is_refused_by_name(site):
    values = yaml.safe_load(site.read_text())
    site.write_text(yaml.safe_dump({**values, "forgeting_budget": 3}))
    done = launch(site)
    assert done.returncode == 2
    assert "unknown key 'forgeting_budget'" in last_error(done)
    assert "did you mean 'forgetting_budget'?" in last_error(done)
    assert "Traceback" not in done.stderr


def test_a_misspelt_override_on_the_command_line_is_refused_by_name(site):
    done = launch(site, max_epoch="3")
    assert done.returncode == 2
    assert "unknown key 'max_epoch'" in last_error(done) and "did you mean 'max_epochs'?" in last_error(done)


def test_a_config_without_a_site_says_so():
    files = [str(CONFIGS / "train.yaml")]
    made = ConfigWorkflow(files, logging_file=False, workflow_type="train")
    with pytest.raises(SystemExit) as e:
        made.initialize()
    assert e.value.code == 2 and "give a site's YAML last" in str(e.value.__cause__)


def workflow(site: Path, *overlays: str, kind: str = "train", **overrides) -> ConfigWorkflow:
    files = [CONFIGS / "train.yaml", *(CONFIGS / f"{o}.yaml" for o in overlays), site]
    made = ConfigWorkflow([str(f) for f in files], logging_file=False, workflow_type=kind, **overrides)
    made.initialize()
    return made


def test_check_properties_is_empty_for_training(site):
    made = workflow(site)
    assert made.check_properties() == []
    assert made.max_epochs == 1 and len(made.train_dataset) > 0


@pytest.mark.parametrize("overlay", ["evaluate", "inference"])
def test_check_properties_is_empty_for_the_others(site, demo, overlay):
    model = yaml.safe_load(site.read_text())["teachers"][0]  # another site's, which this one trusts
    folder = {"images": str(demo / "data" / "images")} if overlay == "inference" else {}
    made = workflow(site, overlay, kind="infer", model=model, result=str(site.parent / "r"), **folder)
    assert made.check_properties() == []


def test_the_network_takes_and_gives_what_the_metadata_says():
    verify_net_in_out(
        net_id="network_def",
        meta_file=str(CONFIGS / "metadata.json"),
        config_file=str(CONFIGS / "train.yaml"),
        device="cpu",
    )


def test_the_metadata_is_verified_offline_and_a_wrong_one_is_not(tmp_path):
    schema = ROOT / "configs" / "schemas" / "bundle_metadata.json"
    verify_metadata(meta_file=str(CONFIGS / "metadata.json"), filepath=str(schema))
    wrong = json.loads((CONFIGS / "metadata.json").read_text())
    del wrong["network_data_format"]["outputs"]["pred"]["channel_def"]
    (tmp_path / "metadata.json").write_text(json.dumps(wrong))
    with pytest.raises(ValueError, match="channel_def"):
        verify_metadata(meta_file=str(tmp_path / "metadata.json"), filepath=str(schema))


@pytest.mark.parametrize(
    ("architecture", "size"), [("resnet_small", [64, 64]), ("resnet18", [28, 28]), ("densenet121", [64, 64])]
)
def test_another_network_or_size_is_one_value_away(site, architecture, size):
    made = workflow(site, architecture=architecture, spatial_size=size, batch_size=4)
    network, item = made.parser.get_parsed_content("network"), made.val_dataset[0]
    assert item["image"].shape == (3, *size)
    assert network.eval()(item["image"][None].to(made.device)).shape == (1, 3)


BEST = {"keep": "best", "early_stopping": 2, "class_weights": "balanced"}


@pytest.mark.parametrize("chosen", [{}, BEST], ids=["last", "best"])
def test_training_that_was_cut_off_goes_on_and_ends_with_the_same_weights(site, tmp_path, chosen):
    few = {"max_epochs": 3, "batch_size": 16, "held_out_folds": 2, **chosen}
    workflow(site, output_dir=str(tmp_path / "whole"), **few).run()

    first = workflow(site, output_dir=str(tmp_path / "cut"), **few)

    def cut(engine):
        if engine.state.epoch == 2 and engine.state.iteration == engine.state.epoch_length + 2:
            raise KeyboardInterrupt

    first.trainer.add_event_handler(Events.ITERATION_COMPLETED, cut)
    with pytest.raises(KeyboardInterrupt):
        first.run()
    assert [p.name for p in (tmp_path / "cut" / "unfinished").glob("*/*.pt")] == ["checkpoint_1.pt"]
    assert len([*(tmp_path / "cut" / "unfinished").glob("*/best/*.pt")]) == len(chosen) // 3
    assert statuses(tmp_path) == {"FAILED", "FINISHED"}
    torch.manual_seed(12345)  # another process has another state
    workflow(site, output_dir=str(tmp_path / "cut"), **few).run()
    a, b = (load_model(tmp_path / n / "model").card.weights_sha256 for n in ("whole", "cut"))
    assert a == b
    assert not (tmp_path / "cut" / "unfinished").exists()


def statuses(folder: Path) -> set[str]:
    client = mlflow.MlflowClient(f"sqlite:///{folder}/m.db")
    return {r.info.status for r in client.search_runs([e.experiment_id for e in client.search_experiments()])}
