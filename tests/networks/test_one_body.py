"""Of networks with one body, a head on what arrives there gives what its network gives."""

import pytest
import torch

from clinical_qkt.networks.one_body import same_body, with_head_inputs
from clinical_qkt.networks.spec import linear_head, preset, reshape_head
from tests.networks.test_spec import SIZES


@pytest.mark.parametrize("name", SIZES)
def test_nothing_follows_the_head_of_any_network_of_the_list(name):
    size = SIZES[name][0]
    network = preset(name, 3, size).build(3).eval()
    with torch.no_grad():
        logits, seen = with_head_inputs(network, torch.rand(1, 3, *size))
        assert torch.allclose(linear_head(network)(seen), logits, atol=1e-6)


def test_networks_with_other_weights_or_other_statistics_have_not_one_body():
    first = preset("resnet_small", 3, [28, 28]).build(3).eval()
    second = reshape_head(first, {0: 1}, 2)
    assert same_body([first, second])
    with torch.no_grad():
        next(m for m in second.modules() if isinstance(m, torch.nn.BatchNorm2d)).running_mean.add_(1e-6)
    assert not same_body([first, second])
    assert not same_body([first, preset("resnet_small", 3, [28, 28]).build(3)])
