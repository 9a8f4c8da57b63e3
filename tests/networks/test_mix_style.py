"""Styles are mixed while a network is trained, and what it keeps and says afterwards is its own."""

from __future__ import annotations

import copy

import pytest
import torch

from clinical_qkt.networks import mix_style
from clinical_qkt.networks.mix_style import mix_styles, mixed, mixes_images
from clinical_qkt.networks.spec import preset


@pytest.mark.parametrize(("name", "size"), [("resnet_small", [28, 28]), ("vit_small", [16, 16, 16])])
def test_a_network_mixes_images_in_training_and_never_else(name, size, monkeypatch):
    monkeypatch.setattr(mix_style, "PROBABILITY", 1.0)
    spec = preset(name, 1, size)
    network = spec.build(3).eval()
    images = torch.randn(4, 1, *size)
    plain, keys = network(images), list(network.state_dict())
    assert not mixes_images(network) and mixes_images(mix_styles(network, spec))
    assert torch.equal(network(images), plain) and list(network.state_dict()) == keys
    twin = copy.deepcopy(network)
    for stage in spec.early_depths[-2:]:
        twin.get_submodule(stage).training = True  # it alone: norms use what they know
    assert not torch.allclose(twin(images), plain, atol=1e-4) and torch.equal(network(images), plain)


def test_an_image_keeps_what_it_shows_and_gets_another_ones_mean_and_spread():
    torch.manual_seed(0)
    features = torch.randn(3, 5, 6, 7) * torch.arange(1, 4).view(3, 1, 1, 1)
    others = torch.tensor([1, 2, 0])
    found = mixed(features, torch.zeros(3), others)
    for statistic in (torch.mean, torch.std):
        assert torch.allclose(statistic(found, (2, 3)), statistic(features, (2, 3))[others], atol=1e-4)
    centred = [x - x.mean((2, 3), keepdim=True) for x in (found, features)]
    assert torch.allclose(torch.cosine_similarity(*[c.flatten(2) for c in centred], dim=2), torch.ones(3, 5))
    assert torch.allclose(mixed(features, torch.ones(3), others), features, atol=1e-5)


def test_tokens_have_their_places_in_front_of_their_channels():
    features = torch.randn(3, 30, 5)
    weights, others = torch.rand(3), torch.tensor([2, 0, 1])
    expected = mixed(features.transpose(1, 2), weights, others).transpose(1, 2)
    assert torch.allclose(mixed(features, weights, others, tokens=True), expected, atol=1e-6)
