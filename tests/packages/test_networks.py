import pytest
import torch
from torch import nn

from clinical_qkt.errors import InputError
from clinical_qkt.packages.networks import NetworkSpec, find_head, preset, reshape_head


@pytest.mark.parametrize(
    ("name", "size"), [("resnet_small", 28), ("resnet_small", 64), ("resnet18", 28), ("densenet121", 64)]
)
def test_each_preset_gives_a_logit_a_class(name, size):
    network = preset(name, 3).build(5).eval()
    assert network(torch.randn(2, 3, size, size)).shape == (2, 5)


def test_the_small_network_has_about_0_3_million_parameters():
    count = sum(p.numel() for p in preset("resnet_small", 3).build(8).parameters())
    assert 0.28e6 < count < 0.34e6


@pytest.mark.parametrize("name", ["DenseNet121", "SEResNet50", "EfficientNetBN"])
def test_every_listed_network_can_be_built_and_has_a_head(name):
    args = {"model_name": "efficientnet-b0"} if name == "EfficientNetBN" else {}
    network = NetworkSpec(name=name, spatial_dims=2, in_channels=1, args=args).build(3)
    assert network.get_submodule(find_head(network)).out_features == 3


def test_an_unknown_preset_is_refused_with_the_likeliest():
    with pytest.raises(InputError, match="unknown network 'resnet_smal'") as e:
        preset("resnet_smal", 3)
    assert "did you mean 'resnet_small'" in str(e.value)


def test_a_grown_head_keeps_its_rows_and_is_neutral_in_the_new_ones():
    network = preset("resnet_small", 3).build(3).eval()
    grown = reshape_head(network, {0: 0, 1: 2}, 4).eval()
    x = torch.randn(4, 3, 28, 28)
    before, after = network(x), grown(x)
    assert torch.allclose(after[:, 0], before[:, 0]) and torch.allclose(after[:, 1], before[:, 2])
    assert torch.equal(after[:, 2:], torch.zeros(4, 2))
    assert network.fc.out_features == 3  # the original is untouched


def test_a_network_without_a_linear_layer_has_no_head():
    with pytest.raises(InputError, match="no linear layer"):
        find_head(nn.Conv2d(3, 3, 3))
