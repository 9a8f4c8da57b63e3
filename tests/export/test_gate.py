"""A gate says inside an exported model what it says beside it, or nothing is written."""

import numpy as np
import pytest
import torch

from clinical_qkt.core.errors import InputError
from clinical_qkt.evidence.gate import SCORES, Door
from clinical_qkt.evidence.gate_file import write_gate
from clinical_qkt.evidence.pictures import Pictures, numbers_of
from clinical_qkt.export import gate
from clinical_qkt.export.export import export
from clinical_qkt.export.from_raw import from_raw
from clinical_qkt.export.gate import Gated, missed_by
from clinical_qkt.packages.model import load_model
from tests.conftest import run
from tests.export.test_export import HERE, MODELS, need_onnx, package, plain, raw, said

__all__ = ["plain"]  # a fixture, which pytest finds by its name


def gate_beside(folder, contract, score="energy"):
    """A gate that about half of images like its own pass, written beside a package."""
    model, own = load_model(folder), raw(contract, 60)
    pictures = Pictures.of(numbers_of(contract.values(own)), np.arange(60) % 2)
    door = Door(score, float(np.median(SCORES[score](said(folder, own).numpy()))), pictures)
    write_gate(folder, door, model.card.weights_sha256)
    return door


def refused(door, source, contract, images):
    return door.refused(said(source, images).numpy(), numbers_of(contract.values(images))).tolist()


def some(contract, count=8):
    """Images like the gate's own, and two unlike them."""
    images = raw(contract, count)
    images[-2:] = torch.linspace(*contract.intensity_range, images[0, 0].numel()).reshape(images[0, 0].shape)
    return images


@pytest.mark.parametrize("score", ["max_probability", "margin", "max_logit", "energy"])
def test_a_gate_says_inside_a_model_what_it_says_beside_it(plain, score):
    door, images = gate_beside(plain, HERE, score), some(HERE)
    with torch.no_grad():
        missed = Gated(from_raw(load_model(plain)), door)(images)[1]
    wanted = refused(door, plain, HERE, images)
    assert (missed > 0).any(1).tolist() == wanted and 2 < sum(wanted) < len(wanted)
    assert (missed[:, 1] > 0).tolist() == [False] * 6 + [True] * 2


@pytest.mark.parametrize("kind", ["a committee with a look", "volumes"])
def test_torchscript_takes_the_gate_along(kind, tmp_path):
    spec, contract = MODELS[kind]
    source = package(tmp_path / "p", spec(), contract)
    door, images = gate_beside(source, contract), some(contract)
    told = export(source, tmp_path / "out", "torchscript", None, with_gate=True).contract
    logits, missed = torch.jit.load(tmp_path / "out" / "model.ts")(images)
    assert torch.allclose(logits, said(source, images), atol=1e-4, rtol=1e-5)
    assert (missed > 0).any(1).tolist() == refused(door, source, contract, images)
    assert told.none_of_these.threshold == door.threshold and told.compared.largest_gate_difference < 1e-4
    assert not any("none of these" in what for what in told.not_inside)


@pytest.mark.slow
@pytest.mark.parametrize("kind", MODELS)
def test_onnx_takes_the_gate_along(kind, tmp_path):
    need_onnx()
    import onnxruntime

    spec, contract = MODELS[kind]
    source = package(tmp_path / "p", spec(), contract)
    door, images = gate_beside(source, contract), some(contract)
    export(source, tmp_path / "out", "onnx", None, with_gate=True)
    session = onnxruntime.InferenceSession(tmp_path / "out" / "model.onnx")
    (missed,) = session.run(["none_of_these"], {"image": images.numpy()})
    wanted = missed_by(door, said(source, images), contract.values(images)).numpy()
    assert np.allclose(missed, wanted, atol=1e-4, rtol=1e-4)


def test_a_gate_that_would_say_something_else_is_not_written(plain, tmp_path, monkeypatch):
    gate_beside(plain, HERE)
    monkeypatch.setitem(gate.IN_TORCH, "energy", lambda logits: logits.amax(1))
    with pytest.raises(InputError, match="in what its gate says; nothing was written"):
        export(plain, tmp_path / "out", "torchscript", None, with_gate=True)
    assert not (tmp_path / "out").exists()


def test_a_gate_comes_along_where_it_is_asked_for_and_is_asked_for_where_it_is(plain, tmp_path, capsys):
    how = (str(plain), str(tmp_path / "out"), "--format", "torchscript", "--unsigned", "--gate")
    assert run("export", *how) == 2
    assert "no gate lies beside this model" in capsys.readouterr().err
    gate_beside(plain, HERE)
    assert run("export", *how) == 0
    assert "keep it in the house" in capsys.readouterr().out
    assert export(plain, tmp_path / "plain", "torchscript", None).contract.none_of_these is None
