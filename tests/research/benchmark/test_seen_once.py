"""What trained networks make of an image is computed once, and is what they say."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from clinical_qkt.networks.committee import Committee
from clinical_qkt.networks.spec import preset
from clinical_qkt.research.benchmark.seen_once import SeenOnce
from clinical_qkt.research.methods.registry import METHODS
from clinical_qkt.training import inference
from clinical_qkt.training.inference import logits_of
from tests.research.benchmark.test_federation import CPU, federation


@pytest.fixture
def made(npz, tmp_path):
    torch.manual_seed(3)
    file = tmp_path / "weights.safetensors"
    save_file(preset("resnet_small", 3, [28, 28]).build(7).state_dict(), file)
    return federation(npz, tmp_path, pretrained=file, trained_layers="last", held_out_folds=0)


def no_more(*_, **__):
    raise AssertionError("an image was looked at")


def test_a_committee_says_what_it_would_and_asks_nobody_twice(made, monkeypatch):
    ask = made.queries(1)[0]
    case, test = made.case(ask), made.test_items(ask)
    method = METHODS["qkt"]
    asked = []
    monkeypatch.setattr(SeenOnce, "knows", lambda _, network: asked.append(network) or False)
    computed = method.run(case, method.settings(harmonise=False)).predict(test)
    committee = asked[-1]
    monkeypatch.undo()
    assert isinstance(committee, Committee) and case.seen.knows(committee)
    torch.testing.assert_close(case.said(committee, test), computed, rtol=1e-4, atol=1e-4)

    monkeypatch.setattr(inference, "_batches", no_more)
    torch.testing.assert_close(case.said(committee, test), computed, rtol=1e-4, atol=1e-4)
    again = made.case(ask)  # another query of the same federation
    assert again.said(again.own.network, made.test_items(ask)).shape == (len(test), len(case.local))


def test_an_image_that_was_changed_is_another_and_so_is_a_network(made):
    ask = made.queries(1)[0]
    case, test = made.case(ask), made.test_items(ask)
    own = case.own.network
    before = case.said(own, test)
    changed = [{**item, "image": torch.as_tensor(item["image"]).flip(1)} for item in test]
    torch.testing.assert_close(case.said(own, changed), logits_of(own, changed, CPU), rtol=1e-4, atol=1e-5)
    assert not torch.equal(case.said(own, changed), before)
    assert torch.equal(case.said(own, test), before)
    next(own.parameters()).data.add_(1.0)
    assert not case.seen.knows(own)


def test_nothing_is_kept_where_networks_cost_little_or_are_one(npz, tmp_path):
    made = federation(npz, tmp_path, held_out_folds=0)
    assert made.case(made.queries(1)[0]).seen is None
