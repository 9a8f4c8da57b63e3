"""Pretrained weights: what fits is taken and told, everything else is refused with names, file and a fix."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from clinical_qkt.core.errors import InputError
from clinical_qkt.core.files import sha256
from clinical_qkt.data.inputs import InputContract
from clinical_qkt.networks.spec import preset
from clinical_qkt.packages.weights_file import read_weights

NOTES = {"name": "squares", "source": "https://example.org/squares", "licence": "CC BY 4.0"}
GIVEN = InputContract(channels=3, spatial_size=[28, 28])


def network(classes: int = 3, name: str = "resnet_small", channels: int = 3) -> torch.nn.Module:
    with torch.device("meta"):
        return preset(name, channels, [28, 28]).build(classes)


def weights(classes: int = 5, channels: int = 3) -> dict[str, torch.Tensor]:
    torch.manual_seed(4)
    return preset("resnet_small", channels, [28, 28]).build(classes).state_dict()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "weights.safetensors"


def saved(file: Path, tensors: dict[str, torch.Tensor], notes: dict[str, str] | None = None) -> Path:
    save_file({k: v.contiguous().clone() for k, v in tensors.items()}, file, notes)
    return file


def test_all_but_the_head_of_other_classes_is_taken_and_the_card_says_whose_it_is(file):
    tensors = weights()
    found = read_weights(saved(file, tensors, NOTES), network(), "last")

    begun = preset("resnet_small", 3, [28, 28]).build(3)
    own_head = begun.fc.weight.detach().clone()
    state = found.into(begun).state_dict()
    assert all(torch.equal(state[k], v) for k, v in tensors.items() if not k.startswith("fc."))
    assert torch.equal(state["fc.weight"], own_head)
    about = {"sha256": sha256(file), "trained_layers": "last", **NOTES}
    assert found.about.model_dump() == about
    facts = json.loads(json.dumps(found.facts()))
    assert facts["new"] == ["fc.weight", "fc.bias"] and facts["classes"] == 5
    assert sorted([*facts["taken"], *facts["new"]]) == sorted(tensors)
    told = "\n".join(found.told(GIVEN))
    assert f"taken: {len(tensors) - 2} tensors" in told
    assert "licence CC BY 4.0" in told and "5 classes" in told


def test_a_head_of_as_many_classes_is_taken_too(file):
    tensors = weights(classes=3)
    found = read_weights(saved(file, tensors), network())

    assert found.new == [] and set(found.tensors) == set(tensors)
    assert "the head is taken, too" in "\n".join(found.told(GIVEN))


@pytest.mark.parametrize("classes", [3, 5])
def test_a_head_that_reads_all_stages_starts_anew_and_the_rest_is_taken(file, classes):
    tensors = preset("efficientnet_lite0", 3, [32, 32]).build(classes).state_dict()
    found = read_weights(saved(file, tensors), network(name="efficientnet_lite0_stages"))

    assert found.new == ["_fc.weight", "_fc.bias"]
    assert set(found.tensors) == {name for name in tensors if not name.startswith("_fc.")}
    built = found.into(preset("efficientnet_lite0_stages", 3, [32, 32]).build(3))
    assert torch.equal(built.state_dict()["_bn1.weight"], tensors["_bn1.weight"])


def test_what_a_file_does_not_say_is_unknown_and_not_guessed(file):
    found = read_weights(saved(file, weights()), network())

    assert (found.about.name, found.about.source, found.about.licence) == ("unknown",) * 3
    told = "\n".join(found.told(GIVEN))
    assert "licence unknown" in told and "source unknown" in told and "normalised for them is unknown" in told


@pytest.mark.parametrize(
    ("change", "told", "fix"),
    [
        (lambda t: t.pop("bn1.bias"), "tensor 'bn1.bias' is missing", "set 'architecture'"),
        (lambda t: t.pop("fc.bias"), "tensor 'fc.bias' is missing", "set 'architecture'"),
        (lambda t: t.update(more=torch.zeros(2)), "tensor 'more' does not belong to the network", "convert"),
        (
            lambda t: t.update({"layer1.0.conv1.weight": torch.zeros(16, 16, 5, 5)}),
            r"tensor 'layer1.0.conv1.weight' has shape \[16, 16, 5, 5\], \[16, 16, 3, 3\] is needed",
            "set 'architecture'",
        ),
        (lambda t: t.update({"bn1.bias": torch.zeros(16).half()}), "numbers of type F16, F32 is needed", ""),
        (lambda t: t.update({"fc.weight": torch.zeros(5, 99)}), r"'fc.weight' has shape \[5, 99\]", ""),
        (lambda t: t.update({"fc.bias": torch.zeros(4)}), "'fc.bias' has shape", ""),
    ],
)
def test_a_missing_strange_or_misshapen_tensor_is_refused_by_name(file, change, told, fix):
    tensors = dict(weights())
    change(tensors)
    with pytest.raises(InputError, match=told) as e:
        read_weights(saved(file, tensors), network())
    assert e.value.where == str(file) and fix in e.value.fix


def test_weights_of_another_network_are_refused_with_the_first_names_and_how_many_more(file):
    with pytest.raises(InputError, match=r"do not fit the network:\n(.*\n){20}.*… and \d+ more") as e:
        read_weights(saved(file, weights()), network(name="densenet_small"))
    assert "set 'architecture' to the network that they are of" in e.value.fix


def test_weights_for_colour_are_refused_for_grey_images_with_what_helps(file):
    with pytest.raises(InputError, match=r"'conv1.weight' has shape \[16, 3, 3, 3\]") as e:
        read_weights(saved(file, weights()), network(channels=1))
    assert "for images with 3 channels, the site's have 1" in e.value.fix
    assert "set 'channels: 3'" in e.value.fix


@pytest.mark.parametrize(("value", "told"), [(float("nan"), "NaN or inf"), (-1.0, "a negative variance")])
def test_numbers_that_no_network_has_are_refused(file, value, told):
    tensors = weights()
    tensors["bn1.running_var"] = torch.full((16,), value)
    with pytest.raises(InputError, match=f"'bn1.running_var' holds {told}"):
        read_weights(saved(file, tensors), network())


@pytest.mark.parametrize("old", [False, True])
def test_a_pickle_is_refused_whatever_its_name_and_never_opened(file, old):
    class Harmful:
        def __reduce__(self) -> Any:
            return Path.touch, (file.with_name("run"),)

    torch.save({"conv1.weight": Harmful()}, file, _use_new_zipfile_serialization=not old)
    with pytest.raises(InputError, match="is a pickle") as e:
        read_weights(file, network())
    assert "clinical-qkt weights convert" in e.value.fix and not file.with_name("run").exists()


def test_a_table_whose_length_begins_as_a_pickle_does_makes_a_file_none(file):
    raw = saved(file, weights(), NOTES).read_bytes()
    length = int.from_bytes(raw[:8], "little")
    longer = length + (0x80 - length) % 256
    padded = raw[8 : 8 + length] + b" " * (longer - length)
    file.write_bytes(longer.to_bytes(8, "little") + padded + raw[8 + length :])
    assert file.read_bytes()[:1] == b"\x80"
    assert read_weights(file, network()).about.name == "squares"


@pytest.mark.parametrize("left", [0, 1, 4, 100, -1])
def test_a_file_that_was_cut_off_is_refused(file, left):
    saved(file, weights())
    file.write_bytes(file.read_bytes()[:left])
    with pytest.raises(InputError, match="is not a whole safetensors file") as e:
        read_weights(file, network())
    assert "copy it again" in e.value.fix


def test_a_file_that_is_not_there_and_a_folder_are_told_apart(tmp_path):
    with pytest.raises(InputError, match="there is no such file"):
        read_weights(tmp_path / "none.safetensors", network())
    with pytest.raises(InputError, match="is a folder"):
        read_weights(tmp_path, network())


@pytest.mark.parametrize(
    "notes",
    [
        {"licence": "x" * 501}, {"source": "$import os"}, {"name": "a\x1b[31m"}, {"normalisation": "{"},
        {"normalisation": '{"mean": [0.5], "std": [0.0]}'},
        {"normalisation": '{"mean": [0.5], "std": [1, 1]}'},
    ],
)  # fmt: skip
def test_notes_that_could_not_stand_on_a_card_are_refused(file, notes):
    with pytest.raises(InputError, match="what it says of itself cannot go on a card") as e:
        read_weights(saved(file, weights(), notes), network())
    assert e.value.where == str(file)


def test_a_licence_of_several_lines_is_one_text(file):
    found = read_weights(saved(file, weights(), {"licence": "MIT\n\n  as is "}), network())
    assert found.about.licence == "MIT as is"


def test_another_normalisation_is_told_with_what_to_write(file):
    notes = {"normalisation": '{"mean": [0.5], "std": [0.25]}'}
    found = read_weights(saved(file, weights(), notes), network())

    assert "write input: {'mean': [0.0], 'std': [0.5]}" in "\n".join(found.told(GIVEN))
    right = GIVEN.model_copy(update={"mean": [0.0], "std": [0.5]})
    assert "as the weights expect it" in "\n".join(found.told(right))
