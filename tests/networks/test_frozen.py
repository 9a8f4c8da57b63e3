"""What is frozen stays to the bit, and what is trained changes."""

from __future__ import annotations

import copy

import pytest
import torch

from clinical_qkt.networks.frozen import train_only
from clinical_qkt.networks.registry import PRESETS
from clinical_qkt.networks.spec import find_head, preset
from tests.networks.test_spec import SIZES


def stepped(network: torch.nn.Module, size: list[int]) -> dict[str, torch.Tensor]:
    """The state after a step as MONAI's trainer makes it."""
    network.train()
    optimizer = torch.optim.AdamW(network.parameters(), 0.1, weight_decay=0.1)
    network(torch.randn(4, 1, *size)).square().sum().backward()
    optimizer.step()
    return network.state_dict()


@pytest.mark.parametrize("layers", ["last", "head"])
@pytest.mark.parametrize("name", PRESETS)
def test_of_each_network_the_early_part_stays_to_the_bit_and_the_head_is_trained(name, layers):
    size = SIZES[name][0]
    spec = preset(name, 1, size)
    network = train_only(spec.build(3), spec, layers)
    before, head = copy.deepcopy(network.state_dict()), find_head(network)

    after = stepped(network, size)

    changed = {k for k in before if not torch.equal(before[k], after[k])}
    assert f"{head}.weight" in changed
    early = [k for k in before if any(k.startswith(f"{d}.") for d in spec.early_depths)]
    assert early and not changed & set(early)
    assert layers == "last" or changed <= {f"{head}.weight", f"{head}.bias"}
    assert layers == "head" or len(changed) > 4


def test_all_layers_are_trained_where_nothing_else_is_said():
    spec = preset("resnet_small", 1, [28, 28])
    network = train_only(spec.build(3), spec, "all")
    before = copy.deepcopy(network.state_dict())
    after = stepped(network, [28, 28])
    assert all(not torch.equal(before[k], after[k]) for k in before if "num_batches" not in k)


def test_a_copy_freezes_its_own_layers():
    spec = preset("resnet_small", 1, [28, 28])
    network = train_only(spec.build(3), spec, "head")
    other = copy.deepcopy(network)
    before = copy.deepcopy(other.state_dict())
    stepped(other, [28, 28])
    network.train()
    assert torch.equal(before["bn1.running_mean"], other.state_dict()["bn1.running_mean"])
