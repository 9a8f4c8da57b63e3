"""`check` before a training: whether the network is made for such images, and what its weights are."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from clinical_qkt.bundle.stage import Stage
from clinical_qkt.checking import machine, start
from clinical_qkt.checking.estimates import Load
from clinical_qkt.checking.finding import Finding
from clinical_qkt.core.errors import InputError
from clinical_qkt.networks.registry import FOR_SMALL, PRESETS
from clinical_qkt.networks.spec import preset
from clinical_qkt.site.launch import plan
from tests.bundle.test_looks_in_training import site  # noqa: F401


def found(site: Path, *words: str) -> list[Finding]:  # noqa: F811
    return list(start.findings(Stage(plan("train", site, words, bundle="blood_cell_classification"))))


@pytest.mark.parametrize("name", ["resnet_small", "resnet18", "resnet_small_instance", "vit_small"])
def test_a_network_for_small_pictures_is_warned_of_above_96_pixels_alone(site, name):  # noqa: F811
    (warning,) = found(site, "--architecture", name, "--spatial_size", "[100,100]")
    assert warning.state == "warning" and "made for pictures of up to 64 pixels" in warning.told
    assert "100x100" in warning.told and "efficientnet_lite0" in warning.fix
    assert not found(site, "--architecture", name, "--spatial_size", "[96,96]")


def test_other_networks_are_not_warned_of(site):  # noqa: F811
    assert set(PRESETS) > FOR_SMALL
    assert not found(site, "--architecture", "efficientnet_lite0", "--spatial_size", "[224,224]")


def test_weights_are_told_with_what_is_unknown_and_how_to_normalise(site, tmp_path):  # noqa: F811
    file = tmp_path / "weights.safetensors"
    notes = {"name": "squares", "licence": "CC0", "normalisation": '{"mean": [0.5], "std": [0.25]}'}
    save_file(preset("resnet_small", 3, [28, 28]).build(5).state_dict(), file, notes)

    told = found(site, "--pretrained", str(file))

    assert [f.state for f in told] == ["ok", "warning", "warning"]
    assert "squares" in told[0].told and "2 of the head are new" in told[0].told
    assert told[1].told.startswith("unknown: source;")
    assert "write input: {'mean': [0.0], 'std': [0.5]}" in told[2].fix


def test_weights_that_do_not_fit_are_a_problem(site, tmp_path):  # noqa: F811
    file = tmp_path / "weights.safetensors"
    save_file({"a": torch.zeros(1)}, file)
    with pytest.raises(InputError, match="do not fit the network"):
        found(site, "--pretrained", str(file))


def test_a_head_alone_is_counted_as_one_look_at_each_image(site, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setattr(machine, "counts", lambda _: {"training": 50, "validation": 10, "test": 0})
    file = tmp_path / "weights.safetensors"
    save_file(preset("resnet_small", 3, [28, 28]).build(5).state_dict(), file)

    def load(layers: str) -> Load:
        words = ("--pretrained", str(file), "--trained_layers", layers)
        counted = machine._load(Stage(plan("train", site, words, bundle="blood_cell_classification")))
        assert counted is not None
        return counted

    assert (load("head").passes, load("head").trained) == (60, 0)
    assert load("all").trained == 50 * 8
