import json
import pickle
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from clinical_qkt.core.errors import InputError, PackageError
from clinical_qkt.data.inputs import InputContract
from clinical_qkt.networks.spec import find_head, preset
from clinical_qkt.packages.card import Card
from clinical_qkt.packages.model import in_precision, is_model, load_model, save_model
from clinical_qkt.packages.writer import CARD, SUMS
from tests.conftest import reseal


@pytest.fixture
def package(tmp_path):
    spec = preset("resnet_small", 3, [28, 28])
    network = spec.build(4)
    card = Card(
        site="hospital_a",
        task="blood_cell_classification",
        label_space=["a", "b", "c", "d"],
        network=spec,
        head=find_head(network),
        input=InputContract(channels=3, spatial_size=[28, 28]),
    )
    save_model(tmp_path / "p", network, card)
    return tmp_path / "p"


def change_card(package, **changes) -> None:
    card = json.loads((package / CARD).read_text())
    (package / CARD).write_text(json.dumps({**card, **changes}))
    reseal(package)


def test_what_is_saved_is_what_is_loaded(package):
    model = load_model(package)
    x = torch.randn(2, 3, 28, 28)
    assert torch.equal(model.network(x), load_model(package).network(x))
    assert model.card.labels.names == ["a", "b", "c", "d"] and not model.network.training
    assert is_model(package) and {p.name for p in package.parent.iterdir()} == {"p"}


def test_saving_again_replaces_the_whole_and_leaves_nothing_behind(package):
    model = load_model(package)
    save_model(package, model.network, model.card.model_copy(update={"site": "hospital_b"}))
    assert load_model(package).card.site == "hospital_b"
    assert {p.name for p in package.parent.iterdir()} == {"p"}


def test_half_precision_takes_half_the_bytes_and_computes_in_single(package):
    model = load_model(package)
    half = in_precision(model, "float16")
    save_model(package.with_name("half"), half.network, half.card)
    found = load_model(package.with_name("half"))
    tensors = [(p / Card.TENSORS).stat().st_size for p in (package.with_name("half"), package)]
    assert 0.45 < tensors[0] / tensors[1] < 0.55 and found.card.precision == "float16"
    x = torch.randn(2, 3, 28, 28)
    assert found.network(x).dtype == torch.float32 and torch.equal(found.network(x), half.network(x))
    assert torch.allclose(found.network(x), model.network(x), atol=0.05)
    assert not torch.equal(found.network(x), model.network(x))  # nor was the model's own network changed


def test_weights_too_large_for_half_precision_are_not_made_infinite(package):
    model = load_model(package)
    with torch.no_grad():
        next(model.network.parameters()).view(-1)[0] = 1e5
    with pytest.raises(InputError, match="precision: a weight is larger than 65504"):
        in_precision(model, "float16")


@pytest.mark.parametrize(("says", "holds"), [("float16", "F32"), ("float32", "F16")])
def test_tensors_in_another_precision_than_the_card_says_are_refused(package, says, holds):
    model = load_model(package)
    half = in_precision(model, "float16" if holds == "F16" else "float32")
    save_model(package, half.network, half.card)
    change_card(package, precision=says)
    with pytest.raises(PackageError, match=f"has numbers of type {holds}"):
        load_model(package)


@pytest.mark.parametrize("name", [CARD, Card.TENSORS])
def test_one_flipped_bit_is_refused_and_the_file_named(package, name):
    content = bytearray((package / name).read_bytes())
    content[len(content) // 2] ^= 1
    (package / name).write_bytes(content)
    with pytest.raises(PackageError, match=f"{name}: does not match its digest"):
        load_model(package)


@pytest.mark.parametrize("name", [CARD, Card.TENSORS, SUMS])
def test_a_missing_file_an_extra_file_and_a_link_are_refused(package, name):
    copy = package.with_name("copy")
    shutil.copytree(package, copy)
    (copy / name).unlink()
    with pytest.raises(PackageError, match=f"lacks '{name}'"):
        load_model(copy)
    (copy / name).symlink_to(package / name)
    with pytest.raises(PackageError, match="not a plain file"):
        load_model(copy)
    (package / "extra.py").write_text("print('hello')")
    with pytest.raises(PackageError, match="does not belong: 'extra.py'"):
        load_model(package)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"network": {"name": "os.system", "spatial_dims": 2, "in_channels": 3}},
            "not on the list of networks",
        ),
        (
            {"network": {"_target_": "os.system", "name": "ResNet", "spatial_dims": 2, "in_channels": 3}},
            "Extra inputs",
        ),
        (
            {
                "network": {
                    "name": "EfficientNetBN",
                    "spatial_dims": 2,
                    "in_channels": 3,
                    "args": {"pretrained": True},
                }
            },
            "takes no argument 'pretrained'",
        ),
        (
            {
                "network": {
                    "name": "ResNet",
                    "spatial_dims": 2,
                    "in_channels": 3,
                    "args": {"block_inplanes": [10**9]},
                }
            },
            "out of range",
        ),
        ({"label_space": ["a", "b", "A", "d"]}, "same class"),
        ({"site": "../../etc"}, "site"),
        ({"run": "$__import__('os').system('x')"}, "Extra inputs"),
        ({"label_space": ["a", "b"]}, "shape"),
    ],
)
def test_a_card_that_says_something_else_is_refused(package, changes, message):
    change_card(package, **changes)
    with pytest.raises(PackageError, match=message):
        load_model(package)


@pytest.mark.parametrize(
    ("mutate", "message"),
    [
        (lambda s: s | {"fc.bias": torch.full((4,), torch.nan)}, "'fc.bias' holds NaN"),
        (lambda s: s | {"fc.bias": torch.full((4,), torch.inf)}, "'fc.bias' holds NaN or infinity"),
        (lambda s: {k: v for k, v in s.items() if k != "fc.bias"}, "'fc.bias' is missing"),
        (lambda s: s | {"door": torch.zeros(1)}, "'door' does not belong"),
        (lambda s: s | {"fc.bias": torch.zeros(5)}, r"'fc.bias' has shape \[5\]"),
    ],
)
def test_wrong_tensors_are_refused_even_if_the_digests_fit(package, mutate, message):
    save_file(mutate(load_file(package / Card.TENSORS)), package / Card.TENSORS)
    reseal(package)
    with pytest.raises(PackageError, match=message):
        load_model(package)


def test_a_pickle_under_the_name_of_safetensors_is_never_unpickled(package, tmp_path):
    class Harm:
        def __reduce__(self):
            return (open, (str(tmp_path / "canary"), "w"))

    (package / Card.TENSORS).write_bytes(pickle.dumps(Harm()))
    reseal(package)
    with pytest.raises(PackageError, match="not a safetensors file"):
        load_model(package)
    assert not (tmp_path / "canary").exists()


def test_an_absent_folder_is_named(tmp_path):
    with pytest.raises(PackageError, match="nowhere: there is no such folder"):
        load_model(tmp_path / "nowhere")


def test_a_check_that_breaks_refuses_the_package(package, monkeypatch):
    def broken(*_, **__):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(Card, "model_validate", broken)
    with pytest.raises(PackageError, match="card.json: cannot be checked \\(ZeroDivisionError\\)"):
        load_model(package)
