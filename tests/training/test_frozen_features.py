"""What arrives at the head, once for a training: the network's own features, in order."""

from __future__ import annotations

import copy

import pytest
import torch

from clinical_qkt.networks.frozen import train_only
from clinical_qkt.networks.spec import linear_head, preset
from clinical_qkt.training.frozen_features import frozen_features

CPU = torch.device("cpu")


@pytest.mark.parametrize(("name", "size"), [("efficientnet_lite0", [32, 32]), ("vit_small", [16, 16, 16])])
def test_the_head_makes_the_networks_logits_of_them_and_nothing_of_the_network_changes(name, size, capsys):
    network = preset(name, 1, size).build(3).train()
    before = copy.deepcopy(network.state_dict())
    images = [{"image": torch.randn(1, *size), "label": k % 3} for k in range(5)]

    seen = frozen_features(images, network, CPU, "training")

    assert [item["label"] for item in seen] == [0, 1, 2, 0, 1] and network.training
    assert all(torch.equal(before[k], v) for k, v in network.state_dict().items())
    assert "frozen features of 5 training images" in capsys.readouterr().out
    said = linear_head(network)(torch.stack([item["image"] for item in seen]))
    alone = network.eval()(torch.stack([item["image"] for item in images]))
    assert torch.allclose(said, alone, atol=1e-5)


def test_a_head_learns_of_them_what_it_learns_beneath_the_frozen_network():
    """The fast way and the plain one: the same steps, the same head."""
    spec = preset("resnet_small", 1, [28, 28])
    torch.manual_seed(1)
    images = [{"image": torch.randn(1, 28, 28), "label": k % 3} for k in range(12)]
    plain = train_only(spec.build(3), spec, "head")
    quick = copy.deepcopy(plain)
    seen = frozen_features(images, quick, CPU, "training")
    for network, shown in ((plain, images), (linear_head(quick), seen)):
        weights = [p for p in network.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(weights, 0.01)
        for _ in range(5):
            network.train()
            said = network(torch.stack([item["image"] for item in shown]))
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(said, torch.tensor([i["label"] for i in shown])).backward()
            optimizer.step()
    assert torch.allclose(linear_head(plain).weight, linear_head(quick).weight, atol=1e-5)
