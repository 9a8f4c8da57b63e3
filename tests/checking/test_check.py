"""`clinical-qkt check`: what is in the way of a stage is told, and nothing is computed or written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml

from clinical_qkt.checking import machine
from clinical_qkt.checking.estimates import Load, cost_of, seconds_told
from clinical_qkt.networks.spec import preset
from tests.conftest import run

pytestmark = pytest.mark.usefixtures("real_footprints")


def test_a_transfer_that_can_run_is_told_with_disk_device_memory_and_time(site, check):
    code, found = check(site, "transfer")
    assert code == 0 and not found["problem"]
    told = "\n".join(found["ok"])
    for what in ("datalist", "labels", "images", "output", "model", "package of", "queried classes"):
        assert f"{what}" in told, what
    assert "signature trusted" in told and "estimate" in told and "free" in told
    assert {line.split(":")[0] for line in found["warning"]} <= {
        "first image",
        "held-out images",
        "promise",
        "disk",
    }
    assert any(line.startswith("promise: cannot be shown") for line in found["warning"])
    assert any(line.startswith(("device: CPU", "device: NVIDIA")) for line in found["ok"])


def test_without_a_stage_the_one_that_comes_next_is_checked(site, check):
    assert check(site)[1]["stage"] == ["transfer"]
    assert check({**site, "teachers": [], "query": []})[1]["stage"] == ["evaluate"]
    assert check({**site, "output_dir": site["output_dir"] + "2"})[1]["stage"] == ["train"]


@pytest.mark.parametrize(
    ("changes", "stage", "said"),
    [
        ({"forgetting_budgt": 1}, "transfer", "keys and values"),
        ({"forgetting_budget": "lots"}, "transfer", "forgetting_budget"),
        ({"query": []}, "transfer", "query"),
        ({"data": "/nowhere/d.json"}, "train", "the datalist cannot be read"),
        ({"output_dir": "/nowhere/new"}, "evaluate", "run `train` first"),
        ({"trusted_keys": {"hospital_9": "/nowhere.pub"}}, "transfer", "key of hospital_9"),
        ({"trusted_keys": {}}, "transfer", "holds no key"),
        ({"signing_key": "/nowhere.key"}, "share", "signing key"),
        ({"transfer_dir": "/proc/none"}, "transfer", "cannot be written to"),
        ({"channels": 1}, "evaluate", "first image"),
    ],
)
def test_what_is_in_the_way_is_a_problem(changes, stage, said, site, check):
    code, found = check(site | changes, stage)
    assert code == 2 and any(said in line for line in found["problem"]), found


def test_an_earlier_result_is_in_the_way_unless_it_may_be_replaced(site, check):
    code, found = check(site, "train")
    assert code == 2 and "earlier run (name another place, or give --overwrite true)" in found["problem"][0]
    code, found = check(site, "train", "--overwrite", "true")
    assert code == 0 and any("will be replaced" in line for line in found["warning"])


def test_a_changed_package_and_a_class_that_nobody_has_are_both_told(site, check):
    bad = Path(site["teachers"][0])
    (bad / "SHA256SUMS").write_text("changed\n")
    code, found = check(site | {"query": ["[red]unheard[/red] of"]}, "transfer")
    assert code == 2 and any(line.startswith("teacher: ") and bad.name in line for line in found["problem"])
    assert any("nobody has [red]unheard[/red] of" in line for line in found["problem"])


def test_labels_and_files_that_are_missing_are_counted(site, check, tmp_path):
    content = json.loads(Path(site["data"]).read_text())
    for section in ("training", "validation", "test"):
        for entry in content[section]:
            entry["image"] = str(Path(site["data"]).parent / entry["image"])
    content["training"][0]["image"] = "/nowhere/1.png"
    content["training"][1]["label"] = "strange"
    content["validation"] = [e for e in content["validation"] if e["label"] != site["classes"][0]]
    (tmp_path / "d.json").write_text(json.dumps(content))
    code, found = check(site | {"data": str(tmp_path / "d.json")}, "evaluate")
    told = "\n".join(found["problem"])
    assert code == 2 and "images: 1 of " in told
    assert "'strange', of 1 images, is not one of the site's classes" in told
    assert f"no validation images of {site['classes'][0]}" in told


def test_images_that_will_be_shrunk_are_a_warning_with_the_size_that_keeps_them(site, check):
    code, found = check(site | {"spatial_size": [16, 16]}, "train", "--overwrite", "true")
    assert code == 0 and any("shrunk to 16x16" in line and "[20, 20]" in line for line in found["warning"])


def test_a_full_disk_is_a_problem_before_anything_is_written(site, check, monkeypatch):
    usage = shutil.disk_usage("/")._replace(free=1000)
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda _: usage)
    code, found = check(site, "transfer")
    assert code == 2 and any(line.startswith("disk: ") for line in found["problem"])


def test_the_table_is_for_people(site, tmp_path, capsys):
    (tmp_path / "site.yaml").write_text(yaml.safe_dump(site))
    assert run("check", str(tmp_path / "site.yaml"), "transfer") == 0
    shown = capsys.readouterr().out
    assert "Nothing is in the way" in shown and f"clinical-qkt run transfer {tmp_path}/site.yaml" in shown


# Estimates


def test_multiply_adds_and_weights_are_those_of_the_network():
    cost = cost_of(preset("resnet_small", 3, [28, 28]), 4, 3, [28, 28])
    network = preset("resnet_small", 3, [28, 28]).build(4)
    assert cost.weights == sum(p.numel() for p in network.parameters())
    smaller = cost_of(preset("resnet_small", 1, [14, 14]), 4, 1, [14, 14])
    assert 3 < cost.multiply_adds / smaller.multiply_adds < 5 < cost.activations / 1000


def test_training_costs_more_than_looking_and_large_images_more_than_small():
    cost = cost_of(preset("resnet_small", 3, [28, 28]), 4, 3, [28, 28])
    looking = Load(cost, 3, [28, 28], 100, 100, 0, 64)
    training = Load(cost, 3, [28, 28], 100, 100, 100, 64)
    large = Load(cost, 3, [512, 512], 100, 100, 0, 64)
    device = torch.device("cpu")
    assert training.seconds(device) == pytest.approx(4 * looking.seconds(device))
    assert training.memory > looking.memory
    assert large.memory - looking.memory == 100 * 3 * (512**2 - 28**2) * 4


@pytest.mark.parametrize(
    ("seconds", "told"), [(59, "less than a minute"), (90, "2 minutes"), (7200, "2 hours")]
)
def test_times_are_told_in_round_numbers(seconds, told):
    assert seconds_told(seconds) == told
