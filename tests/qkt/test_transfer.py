"""The steps of a transfer together, at sites that differ from the student."""

from __future__ import annotations

import json
import time
from pathlib import Path

import mlflow
import pytest
import torch
import yaml

from clinical_qkt import bundle
from clinical_qkt.networks.spec import NetworkSpec, find_head, preset
from clinical_qkt.packages.model import load_model, save_model
from clinical_qkt.packages.pretrained import PretrainedWeights
from clinical_qkt.packages.signing import new_key
from tests.conftest import COLOURS, CONFIGS, DEMO, run
from tests.launcher import bundle_words, start

DISTIL = ("train.yaml", "transfer.yaml", "transfer_distil.yaml")
PAPER = ("train.yaml", "transfer.yaml", "transfer_paper.yaml")


def student_of(demo: Path) -> tuple[Path, dict]:
    file = next(p for p in sorted(demo.glob("sites/*.yaml")) if "teachers:" in p.read_text())
    return file, yaml.safe_load(file.read_text())


@pytest.mark.slow
def test_a_teacher_with_another_network_and_input_size_can_teach(demo, tmp_path):
    file, values = student_of(demo)
    asked = values["query"][0]
    teacher = next(
        p
        for p in sorted(demo.glob("sites/*.yaml"))
        if p != file and asked in yaml.safe_load(p.read_text())["classes"]
    )
    elsewhere = {
        "output_dir": str(tmp_path / "other"),
        "mlflow": f"sqlite:///{tmp_path}/m.db",
        "max_epochs": 2,
    }
    different = {"architecture": "densenet_small", "spatial_size": [36, 32]}
    bundle.run([CONFIGS / "train.yaml", teacher], **elsewhere, **different)
    package = {"package_dir": str(tmp_path / "package")}
    bundle.run([CONFIGS / "train.yaml", CONFIGS / "share.yaml", teacher], yes=True, **elsewhere, **package)
    assert load_model(tmp_path / "package").card.input.spatial_size == [36, 32]

    where = {
        "transfer_dir": str(tmp_path / "t"),
        "mlflow": elsewhere["mlflow"],
        "teachers": [str(tmp_path / "package")],
    }
    bundle.run([CONFIGS / "train.yaml", CONFIGS / "transfer.yaml", file], **where)
    committee = load_model(tmp_path / "t" / "model").card.network
    assert [seat.input.spatial_size for seat in committee.members] == [[28, 28], [36, 32]]

    bundle.run([CONFIGS / n for n in DISTIL] + [file], **where, overwrite=True)
    summary = json.loads((tmp_path / "t" / "summary.json").read_text())
    # the student keeps its own network, since the teacher's expects another input
    assert summary["method"]["started_from"] == values["site"]
    after = load_model(tmp_path / "t" / "model").card
    assert after.network.body.network == load_model(Path(values["output_dir"]) / "model").card.network
    assert after.labels.names == [*values["classes"], asked]


@pytest.mark.slow
def test_the_new_model_keeps_every_licence_and_tells_whose_network_bears_the_heads(demo, tmp_path):
    file, values = student_of(demo)
    teacher = load_model(Path(values["teachers"][0]))
    weights = PretrainedWeights(sha256="a" * 64, name="lite0", licence="Apache-2.0")
    card = teacher.card.model_copy(update={"licence": ["CC BY-NC 4.0"], "pretrained": [weights]})
    key = demo / "keys" / f"{card.site}.key"
    save_model(tmp_path / "p", teacher.network, card, signing_key=key)
    where = {"transfer_dir": str(tmp_path / "t"), "mlflow": f"sqlite:///{tmp_path}/m.db"}
    where["forgetting_budget"] = 100  # so that the teacher's network keeps it
    bundle.run([CONFIGS / n for n in DISTIL] + [file], teachers=[str(tmp_path / "p")], **where)
    summary = json.loads((tmp_path / "t" / "summary.json").read_text())
    assert summary["method"]["started_from"] == teacher.card.site
    card = load_model(tmp_path / "t" / "model").card
    own = load_model(Path(values["output_dir"]) / "model").card
    assert card.licence == [*own.licence, "CC BY-NC 4.0"] and card.site == values["site"]
    assert card.pretrained == [weights] and summary["method"]["pretrained"] == [weights.model_dump()]
    assert card.network.own == 1 and card.network.body.network == teacher.card.network


@pytest.mark.slow
def test_a_distillation_that_was_killed_goes_on_and_ends_with_the_same_model(demo, tmp_path):
    file, values = student_of(demo)
    files = [str(CONFIGS / n) for n in PAPER] + [str(file)]
    where = {
        "mlflow": f"sqlite:///{tmp_path}/m.db",
        "max_epochs": 3,
        "batch_size": 16,
        "settings::subclass": 2,  # so that there is a second head to be taken up, too
    }
    bundle.run(files, transfer_dir=str(tmp_path / "whole"), **where)

    process = start("monai.bundle", *bundle_words(files, transfer_dir=tmp_path / "cut", **where))
    checkpoints = Path(values["output_dir"]) / "unfinished"
    while process.is_alive() and not list(checkpoints.glob("transfer-*/checkpoint*.pt")):
        time.sleep(0.01)
    process.kill()
    process.join()
    assert not (tmp_path / "cut" / "summary.json").exists()
    bundle.run(files, transfer_dir=str(tmp_path / "cut"), **where)
    a, b = (load_model(tmp_path / n / "model").card.weights_sha256 for n in ("whole", "cut"))
    assert a == b and not checkpoints.exists()
    client = mlflow.MlflowClient(where["mlflow"])
    runs = client.search_runs([e.experiment_id for e in client.search_experiments()])
    names = [r.info.run_name for r in runs]
    # the run that was killed was taken up again, so that two transfers are there and no third
    assert {r.info.status for r in runs} == {"FINISHED"} and names.count("phase 1: distillation") == 2


@pytest.mark.slow
def test_two_classes_can_be_asked_for_at_once(demo, npz, tmp_path):
    # classes are dealt by the seed alone
    dealt = yaml.safe_load((demo / "sites" / "hospital_1.yaml").read_text())["classes"]
    lacking = sorted(set(COLOURS) - set(dealt))
    both = tmp_path / "both"
    options = [word for name in lacking for word in ("--query", name)]
    assert (
        run("demo", "--data", str(npz), "--out", str(both), *DEMO, "--student", "hospital_1", *options) == 0
    )
    summary = json.loads((both / "summary.json").read_text())
    assert sorted(summary["student"]["query"]) == lacking and len(lacking) == 2
    recalls = [summary["after"]["per_class"][n]["recall"] for n in lacking]
    assert summary["after"]["query_recall"] == pytest.approx(sum(recalls) / 2)
    assert len(summary["method"]["fit"]["bias"]) == 2


def test_a_package_that_was_changed_is_refused_and_nothing_is_left(demo, tmp_path):
    file, values = student_of(demo)
    broken = tmp_path / "broken"
    broken.mkdir()
    source = Path(values["teachers"][0])
    for part in source.iterdir():
        content = bytearray(part.read_bytes())
        if part.suffix == ".safetensors":
            content[-1] ^= 1
        (broken / part.name).write_bytes(content)
    with pytest.raises(bundle.QKTError, match="model.safetensors: does not match its digest") as e:
        bundle.run(
            [CONFIGS / "train.yaml", CONFIGS / "transfer.yaml", file],
            transfer_dir=str(tmp_path / "t"),
            mlflow=f"sqlite:///{tmp_path}/m.db",
            teachers=[str(broken)],
        )
    assert e.value.exit_code == 3
    assert not (tmp_path / "t" / "model").exists() and not (tmp_path / "t" / "summary.json").exists()


@pytest.mark.parametrize(
    ("key", "accept", "says"),
    [
        ("hospital_x", False, "this site holds no key of 'hospital_x'"),
        ("hospital_x", True, ["hospital_x (unknown key)"]),
        (None, False, "is not signed"),
        (None, True, ["hospital_x (unsigned)"]),
        ("its own name", True, "was made with another key than the one that is trusted"),
    ],
)
def test_a_package_that_nobody_vouches_for_is_refused_unless_the_site_takes_it_and_then_says_so(
    demo, tmp_path, key, accept, says
):
    file, values = student_of(demo)
    teacher = load_model(Path(values["teachers"][0]))
    own_name = key == "its own name"  # somebody else's key under the name of a site that is trusted
    name = teacher.card.site if own_name else "hospital_x"
    card = teacher.card.model_copy(update={"site": name})
    private = new_key("x", tmp_path)[0] if key else None
    save_model(tmp_path / "p", teacher.network, card, signing_key=private)
    chosen = {"teachers": [str(tmp_path / "p")], "untrusted_packages": "accept" if accept else "refuse"}
    if isinstance(says, str):
        with pytest.raises(bundle.QKTError, match=says) as e:
            transfer(file, tmp_path, **chosen)
        assert e.value.exit_code == 3 and not (tmp_path / "t" / "summary.json").exists()
        return
    summary = transfer(file, tmp_path, **chosen)
    assert summary["untrusted_packages"] == says
    assert f"Nobody vouches for the packages of {says[0]}" in (tmp_path / "t" / "report.html").read_text()
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/m.db")
    (experiment,) = [e for e in client.search_experiments() if e.name != "Default"]
    tags = [r.data.tags.get("untrusted_packages") for r in client.search_runs([experiment.experiment_id])]
    assert says[0] in tags


def changed_teacher(package: Path, folder: Path, spec: NetworkSpec, **contract) -> str:
    """A package like another one with an untrained network, for other images of unknown looks."""
    card = load_model(package).card
    expects = card.input.model_copy(update=contract)
    torch.manual_seed(0)
    network = spec.build(len(card.label_space))
    about = {"network": spec, "head": find_head(network), "input": expects, "looks": None}
    key = package.parent.parent / "keys" / f"{card.site}.key"
    save_model(folder, network, card.model_copy(update=about), signing_key=key)
    return str(folder)


def transfer(file: Path, tmp_path: Path, **overrides) -> dict:
    overrides = {"transfer_dir": str(tmp_path / "t"), "mlflow": f"sqlite:///{tmp_path}/m.db", **overrides}
    bundle.run([CONFIGS / "train.yaml", CONFIGS / "transfer.yaml", file], **overrides)
    return json.loads((tmp_path / "t" / "summary.json").read_text())


@pytest.mark.slow
def test_a_teacher_for_grey_images_teaches_a_colour_site_only_if_its_card_says_so(demo, tmp_path):
    file, values = student_of(demo)
    first, *others = values["teachers"]
    grey = preset("resnet_small", 1, [28, 28])
    refused = changed_teacher(Path(first), tmp_path / "grey", grey, channels=1)
    with pytest.raises(bundle.QKTError, match="1 channels, this site's have 3, and its card does not") as e:
        transfer(file, tmp_path, teachers=[refused, *others])
    assert e.value.exit_code == 3 and not (tmp_path / "t" / "summary.json").exists()
    declared = changed_teacher(Path(first), tmp_path / "declared", grey, channels=1, other_channels="convert")
    summary = transfer(file, tmp_path, teachers=[declared, *others])
    told = [t["adapted"] for t in summary["teachers"]]
    assert told[0] == ["colour reduced to grey"]
    assert all(set(of) <= {"brought to the look of its training images"} for of in told[1:])


@pytest.mark.slow
def test_teachers_with_other_networks_sizes_and_normalisation_sit_beside_the_students(demo, tmp_path):
    file, values = student_of(demo)
    first, *others = values["teachers"]
    size, normalised = [32, 32], {"value_range": (0.0, 1.0), "mean": [0.5], "std": [0.25]}
    network = preset("vit_small", 3, size)
    other = changed_teacher(Path(first), tmp_path / "vit", network, spatial_size=size, **normalised)
    summary = transfer(file, tmp_path, teachers=[other, *others])
    assert summary["teachers"][0]["adapted"] == ["size 32x32, not 28x28", "normalised in its own way"]
    model = load_model(tmp_path / "t" / "model")
    assert model.card.input.spatial_size == [56, 56]  # the student's 28, divided, hold the teacher's 32
    assert [type(m).__name__ for m in model.network.members][1] == "ViT"
    assert summary["before"]["retained_recall"] - summary["after"]["retained_recall"] < 0.2
