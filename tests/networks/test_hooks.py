"""Modules are watched for as long as somebody asked for it."""

import pytest
import torch
from torch import nn

from clinical_qkt.networks.hooks import watching


def test_inputs_and_outputs_are_seen_in_the_order_in_which_modules_run():
    network, seen = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)), []
    with watching(lambda *said: seen.append(said), network[2], network[0]):
        output = network(torch.ones(4, 2))
    assert [module for module, _, _ in seen] == [network[0], network[2]]
    assert seen[0][1][0].tolist() == torch.ones(4, 2).tolist()
    assert torch.equal(seen[1][2], output)


def test_nothing_stays_when_it_ends_even_by_an_error():
    network, seen = nn.Linear(2, 1), []
    with pytest.raises(RuntimeError), watching(lambda *said: seen.append(said), network):
        network(torch.ones(1, 3))
    network(torch.ones(1, 2))
    assert seen == []
    assert not network._forward_hooks
