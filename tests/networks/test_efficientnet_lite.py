"""EfficientNet-lite0 is the network of which there are weights: the same architecture, the same numbers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from clinical_qkt.networks.efficientnet_lite import (
    STAGES,
    EfficientNetLite0,
    EfficientNetLite0OfStages,
    Same,
    same,
)
from clinical_qkt.networks.extractor import Pooling, PoolingSpec
from clinical_qkt.networks.spec import preset


def test_it_is_of_the_published_size_and_has_neither_swish_nor_squeezing():
    network = preset("efficientnet_lite0", 3, [224, 224]).build(1000)
    # 4.7 M as published for lite0, running statistics not counted
    assert sum(p.numel() for p in network.parameters()) == 4_652_008
    kinds = {type(m).__name__ for m in network.modules()}
    assert "ReLU6" in kinds and not {"MemoryEfficientSwish", "Swish", "AdaptiveAvgPool1d"} & kinds
    assert not any("_se_" in name for name in network.state_dict())
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    assert {(m.eps, m.momentum) for m in norms} == {(1e-3, 0.1)}


@pytest.mark.parametrize(
    ("places", "kernel", "step"), [(7, 3, 2), (8, 3, 2), (13, 5, 2), (6, 5, 1), (2, 5, 2)]
)
def test_a_convolution_over_any_size_gives_one_in_so_many_places_rounded_up(places, kernel, step):
    convolution = nn.Conv2d(1, 1, kernel, step)
    padded = Same(convolution)(torch.ones(1, 1, places, places + 1))
    assert convolution(padded).shape[2:] == (-(-places // step), -(-(places + 1) // step))
    added = [padded.shape[2] - places, padded.shape[3] - places - 1]
    rows = padded[0, 0].sum(1).bool().tolist()
    assert rows == [False] * (added[0] // 2) + [True] * places + [False] * (added[0] - added[0] // 2)


@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("kind", [nn.Conv2d, nn.Conv3d])
def test_with_steps_of_one_the_convolution_adds_the_same_zeros_by_itself(kind, kernel):
    plain, convolution = kind(2, 3, kernel), kind(2, 3, kernel)
    convolution.load_state_dict(plain.state_dict())
    images = torch.randn(2, 2, *[7, 8, 9][: 2 if kind is nn.Conv2d else 3])
    padding = same(convolution)
    assert padding(images) is images
    assert torch.allclose(convolution(images), plain(Same(plain)(images)), atol=1e-6)
    assert isinstance(same(kind(2, 3, kernel, stride=2)), Same)


@pytest.mark.parametrize("size", [224, 100])
def test_it_computes_what_the_network_of_the_weights_package_does(size):
    package = pytest.importorskip(
        "efficientnet_lite_pytorch", reason="not installed: pip install --no-deps efficientnet-lite-pytorch"
    )
    torch.manual_seed(0)
    theirs = package.EfficientNet.from_name("efficientnet-lite0", image_size=size).eval()
    for layer in theirs.modules():
        if isinstance(layer, nn.BatchNorm2d):  # as after a training
            layer.running_mean.normal_(0, 0.2)
            layer.running_var.uniform_(0.5, 1.5)
    ours = EfficientNetLite0(2, 3, 1000).eval()
    names = dict(zip(ours.state_dict(), theirs.state_dict(), strict=True))  # both in the order of the layers
    ours.load_state_dict({name: theirs.state_dict()[other] for name, other in names.items()})

    images = torch.randn(2, 3, size, size)
    assert ours(images).std() > 1e-3
    assert torch.allclose(ours(images), theirs(images), atol=1e-5)


def test_a_head_of_stages_reads_what_is_pooled_of_each_and_the_last_layer():
    torch.manual_seed(0)
    plain, wide = EfficientNetLite0(2, 3, 5).eval(), EfficientNetLite0OfStages(2, 3, 5).eval()
    rest = {name: value for name, value in plain.state_dict().items() if not name.startswith("_fc.")}
    assert set(wide.load_state_dict(rest, strict=False).missing_keys) == {"_fc.weight", "_fc.bias"}
    images, seen = torch.rand(2, 3, 40, 64), {}
    for name, network in (("last", plain), ("all", wide)):
        network._fc.register_forward_pre_hook(lambda _, given, name=name: seen.update({name: given[0]}))
        network(images)
    depths = ["_bn0", *(f"_blocks.{i}" for i in range(len(STAGES)))]
    spec = PoolingSpec(network=preset("efficientnet_lite0", 3, [40, 64]), depths=depths, pooled=1632)
    stages = Pooling(spec, plain).numbers(images)
    torch.testing.assert_close(seen["all"], torch.cat([stages, seen["last"]], 1))


def test_a_head_of_stages_is_scripted_to_the_same_numbers():
    network = EfficientNetLite0OfStages(2, 3, 4).eval()
    images = torch.rand(1, 3, 48, 48)
    exported = torch.export.export(network, (images,)).module()
    torch.testing.assert_close(exported(images), network(images), rtol=1e-4, atol=1e-5)
