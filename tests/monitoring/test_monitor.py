"""The command, from images to exit code."""

from __future__ import annotations

import json
import shutil
import stat
from pathlib import Path

import mlflow
import numpy as np
import pytest
import torch
import yaml

from clinical_qkt.cli.monitor import exit_code
from clinical_qkt.data.inputs import InputContract
from clinical_qkt.monitoring import page
from clinical_qkt.monitoring.descriptors import look, look_names, watched
from clinical_qkt.monitoring.logged import figures
from clinical_qkt.networks.committee import CommitteeSpec, Seat
from clinical_qkt.networks.spec import preset
from clinical_qkt.site.monitoring_limits import Monitoring
from tests.conftest import ROOT, run
from tests.documented import commands, execute
from tests.monitoring.conftest import check_of, pictures


@pytest.fixture
def site(hospital, tmp_path) -> Path:
    """A copy of the hospital's model, and nothing that others have watched."""
    values = yaml.safe_load(hospital.read_text())
    shutil.copytree(hospital.parent / "transfer" / "model", tmp_path / "transfer" / "model")
    shutil.copytree(hospital.parent / "own", tmp_path / "own")  # where it is known as the hospital's
    values |= {"transfer_dir": str(tmp_path / "transfer"), "output_dir": str(tmp_path / "own")}
    (tmp_path / "site.yaml").write_text(yaml.safe_dump(values))
    return tmp_path / "site.yaml"


def monitor(site: Path, images: Path, *more: str) -> int:
    return run("monitor", str(site), "--images", str(images), *more)


def test_quiet_weeks_a_baseline_and_another_camera(site, tmp_path, capsys, monkeypatch):
    """The commands are those of watch-a-model.md."""
    folder, here = site.parent / "transfer" / "monitoring", tmp_path / "here"
    first, _ = (pictures(here / name, 60, seed) for name, seed in (("FIRST_WEEKS", 1000), ("NEW", 1500)))
    (first / "broken.png").write_bytes(b"no picture")
    lines = commands((ROOT / "docs" / "how-to" / "watch-a-model.md").read_text())
    execute(lines, monkeypatch, here, {"sites/my_hospital/site.yaml": str(site)})
    told = capsys.readouterr()
    assert "left out 1 ×" in told.err and "no patients are named" in told.err
    assert (
        told.out.count("Quiet:") == 2 and "1 of 61 files" in told.out and "baseline first-weeks" in told.out
    )
    redder = pictures(tmp_path / "redder", 60, 2000, lambda x: (x * [0.6, 1, 1]).astype(np.uint8))
    assert monitor(site, redder, "--name", "w2", "--json") == 11
    check = json.loads(capsys.readouterr().out)
    assert check["verdict"] == "alarm" and "look" in check["alarms"] and check["yardstick"] == "baseline"
    assert monitor(site, redder, "--name", "w2") == 5  # to try again until it is quiet is refused
    held = {p.name: p.read_bytes() for p in folder.iterdir()}
    assert set(held) == {"reference.npz", "baseline.npz", "record.jsonl", "monitoring.html"}
    assert not any(b"patient_0" in content for content in held.values())
    assert {stat.S_IMODE(p.stat().st_mode) for p in folder.iterdir()} == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    client = mlflow.MlflowClient(f"sqlite:///{site.parent / 'transfer' / 'mlflow.db'}")
    runs = client.search_runs([e.experiment_id for e in client.search_experiments()])
    verdicts = {"first-weeks": "quiet", "2026-W48": "quiet", "w2": "alarm"}
    assert {r.data.tags["check"]: r.data.tags["verdict"] for r in runs} == verdicts
    assert {r.info.run_name for r in runs} == {"monitor us"}


def test_a_script_is_told_what_to_do():
    checks = check_of(), check_of(alarms=("look",)), check_of(verdict="too few images")
    assert [exit_code(c) for c in checks] == [0, 10, 12]
    assert exit_code(check_of(alarms=("look",), switch_off=["the look"])) == 11


@pytest.mark.slow
def test_a_period_that_alarms_becomes_no_baseline(site, tmp_path, capsys):
    dark = pictures(tmp_path / "dark", 60, 1000, lambda x: (x * 0.5).astype(np.uint8))
    assert monitor(site, dark, "--baseline") == 11
    assert "did not become the baseline" in capsys.readouterr().out
    assert not (site.parent / "transfer" / "monitoring" / "baseline.npz").exists()


def test_what_cannot_be_watched_is_refused_in_one_sentence(site, hospital, tmp_path, capsys):
    week = pictures(tmp_path / "w", 3, 0)
    data = yaml.safe_load(site.read_text())["data"]
    for arguments, said in (
        ((tmp_path / "absent",), "does not exist"),
        ((week, "--name", "Anna Smith"), "no name for a check"),
        ((week, "--since", "last week"), "no day"),
        ((week, "--model", str(tmp_path)), "holds no model"),
        ((Path(data),), "the site's own datalist"),
    ):
        assert monitor(site, *arguments) == 2
        assert said in capsys.readouterr().err


def test_a_wrong_limit_in_the_yaml_is_refused_by_its_key(site, tmp_path, capsys):
    site.write_text(site.read_text() + yaml.safe_dump({"monitoring": {"certain": 0.5}}))
    assert monitor(site, pictures(tmp_path / "w", 3, 0)) == 2
    assert "monitoring" in (said := capsys.readouterr().err) and "certain" in said


def test_small_counts_do_not_reach_mlflow():
    told = figures(check_of(unsure=3))
    assert "monitor/share/cat" not in told and "monitor/share/<b>dog$x$</b>" in told
    assert told["monitor/unsure"] is None and told["monitor/unreadable"] is None


def test_the_page_names_the_rule_its_limits_and_what_they_show_in_words():
    made = page.page("us", [check_of("w1"), check_of("w2", ("look",), p=0.005)], Monitoring())
    assert "<h2>Alarm</h2>" in made and "Alarm: the look of the images." in made
    assert "the same alarm in 2 checks in a row" in made and "software&#39;s default" in made.replace(
        "'", "&#39;"
    )
    assert 'alt="The look of the images: 2 checks, 2 with limits; alarm in w2' in made
    assert "<b>dog" not in made and "switch the model off" not in made.split("From when on")[0].lower()


def test_look_tells_brightness_contrast_and_sharpness_apart():
    names = look_names(3)
    images = torch.rand(2, 3, 16, 16)
    assert look(images).shape == (2, len(names)) and look(images[:, :1]).shape == (2, len(look_names(1)))

    def changed(other):
        moved = (look(other) - look(images)).abs().mean(0)
        return {name for name, by in zip(names, moved.tolist(), strict=True) if by > 0.01}

    brighter, blurred = images.clone(), images.clone()
    brighter[:, 0] += 0.2
    blurred[:, 2] = torch.nn.functional.avg_pool2d(images[:, 2:], 3, 1, 1)[:, 0]
    assert changed(brighter) == {"brightness of red"}
    assert {"sharpness of blue", "contrast of blue"} <= changed(
        blurred
    ) and "sharpness of red" not in changed(blurred)


def test_of_a_committee_what_each_member_sees_is_watched():
    given = InputContract(channels=3, spatial_size=[28, 28])
    seats = [
        Seat(network=preset("resnet_small", 3, [28, 28]), input=given, columns=c) for c in ([0, 1], [1, 2])
    ]
    network = CommitteeSpec(input=given, members=seats, width=3).build(3).eval()
    with watched(network) as caught, torch.no_grad():
        network(torch.rand(4, 3, 28, 28))
    assert len(caught) == 2 and {len(c) for c in caught} == {4} and not torch.equal(*caught)
    network = CommitteeSpec(input=given, members=seats, width=3, one_body=True).build(3).eval()
    with watched(network) as caught, torch.no_grad():
        network(torch.rand(4, 3, 28, 28))
    assert len(caught) == 1 and len(caught[0]) == 4
