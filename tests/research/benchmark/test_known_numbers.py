"""Sites that train the head alone of one network: what it gives of an image is computed once for all."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import save_file

from clinical_qkt.networks.spec import find_head, linear_head, preset
from clinical_qkt.qkt.probing import probe
from clinical_qkt.qkt.teachers import AlignedModel
from clinical_qkt.research.benchmark import known_numbers
from clinical_qkt.research.benchmark.config import Scenario
from clinical_qkt.research.methods.registry import METHODS
from clinical_qkt.research.methods.requested import requested
from clinical_qkt.training import inference
from clinical_qkt.training.inference import logits_of, outputs_of
from tests.research.benchmark.test_federation import CPU, federation, no_folds  # noqa: F401


@pytest.fixture
def made(npz, tmp_path, no_folds, monkeypatch):  # noqa: F811
    monkeypatch.setattr(known_numbers, "PROBES", 32)
    torch.manual_seed(3)
    file = tmp_path / "weights.safetensors"
    save_file(preset("resnet_small", 3, [28, 28]).build(7).state_dict(), file)
    return federation(npz, tmp_path, pretrained=file, trained_layers="head", max_epochs=3)


def test_all_sites_have_the_files_network_but_for_their_heads(made):
    states = [model.network.state_dict() for model in made.models]
    head = find_head(made.models[0].network)
    for name, value in states[0].items():
        same = all(torch.equal(value, other[name]) for other in states[1:])
        assert same is not name.startswith(f"{head}.")


def test_a_penalty_fits_each_sites_head_at_once(npz, tmp_path, no_folds):  # noqa: F811
    file = tmp_path / "weights.safetensors"
    save_file(preset("resnet_small", 3, [28, 28]).build(7).state_dict(), file)
    start = {"pretrained": file, "trained_layers": "head"}
    small, large = (federation(npz, tmp_path, **start, head_penalty=p) for p in (0.1, 10.0))
    heads = [linear_head(f.models[0].network).weight.detach() for f in (small, large)]
    assert 0 < float(heads[1].norm()) < float(heads[0].norm()) / 2


def test_what_is_known_is_what_the_networks_say(made):
    ask = made.queries(1)[0]
    case, test = made.case(ask), made.test_items(ask)
    own = case.own.network
    torch.testing.assert_close(case.said(own, test), logits_of(own, test, CPU), rtol=1e-4, atol=1e-5)
    extractor = requested(case, None).extractor
    found, told = case.numbers(extractor, test), outputs_of(extractor, test, CPU)
    for mine, theirs in zip(found, told, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-4, check_dtype=False)
    scores = probe(AlignedModel(made.models[0], {}), seed=made.seed, device=CPU, count=32).scores
    torch.testing.assert_close(made.probed[0].scores, scores, rtol=1e-3, atol=1e-4)


def test_a_second_query_and_a_second_start_look_at_no_image_again(made, npz, tmp_path, monkeypatch):
    first, second = made.queries(2)
    method = METHODS["statistics"]
    told = method.settings(harmonise="none")
    method.run(made.case(first), told)
    kept = {"pretrained", "trained_layers", "max_epochs"}
    again = federation(npz, tmp_path, **made.scenario.model_dump(include=kept))

    def no_more(*_, **__):
        raise AssertionError("an image was looked at")

    requested(again.case(second), None)  # maps are made of variations of some images
    monkeypatch.setattr(inference, "_batches", no_more)
    case = again.case(second)
    outcome = method.run(case, told)
    assert outcome.predict(again.test_items(second)).shape[1] == len(case.labels)


@pytest.mark.parametrize("how", [{}, {"start_from": "teacher", "heads": "each"}], ids=["committee", "distil"])
def test_joined_networks_say_what_is_known_of_their_members(made, monkeypatch, how):
    ask = made.queries(1)[0]
    case, test = made.case(ask), made.test_items(ask)
    method, known = METHODS["qkt"], case.known
    networks = []
    monkeypatch.setattr(type(known), "knows", lambda _, network: networks.append(network) or False)
    computed = method.run(case, method.settings(harmonise=False, **how)).predict(test)
    joined = networks[-1]  # the last to be asked
    monkeypatch.undo()
    assert known.knows(joined) and not isinstance(joined, type(case.own.network))
    torch.testing.assert_close(case.said(joined, test), computed, rtol=1e-4, atol=1e-4)
    next(joined.parameters()).data.add_(1.0)
    assert not known.knows(joined)


def test_in_anothers_map_private_answers_are_those_to_a_reference(made):
    case = made.case(made.queries(1)[0])
    mine, theirs = requested(case, None), requested(case, None, reference=True)
    assert not torch.equal(mine.extractor.projection, theirs.extractor.projection)
    assert theirs.training[0].shape[0] == mine.training[0].shape[0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trained_layers": "head"}, "the rest would be random"),
        ({"head_penalty": 0.5}, "head_penalty: is of a head that is trained alone"),
        ({"trained_layers": "head", "pretrained": "w", "shift": "mild"}, "one network, size and look"),
        (
            {"trained_layers": "head", "pretrained": "w", "spatial_size": [28, 32]},
            "one network, size and look",
        ),
    ],
)
def test_a_frozen_network_sees_all_images_alike(changes, message):
    with pytest.raises(ValidationError, match=message):
        Scenario(name="x", **changes)


def test_earlier_scenarios_keep_their_names():
    later = {"pretrained", "trained_layers", "learning_rate", "held_out_folds"}
    assert not later & set(Scenario(name="x").model_dump())


def test_averaging_trains_and_averages_the_head_alone(made, monkeypatch):
    ask = made.queries(1)[0]
    case, test = made.case(ask), made.test_items(ask)
    case.known.head_inputs(test)

    def no_more(*_, **__):
        raise AssertionError("an image was looked at")

    method = METHODS["fedavg"]
    monkeypatch.setattr(case.known, "_table", lambda what, look, true=case.known._table: true(what, no_more))
    outcome = method.run(case, method.settings(rounds=1))
    logits, head = outcome.predict(test), linear_head(case.own.network)
    assert logits.shape == (len(test), len(case.labels)) and outcome.cross_fitted is None
    known = len({name for m in made.models for name in m.card.labels.names})
    assert outcome.bytes_received == 4 * known * (head.in_features + 1)
