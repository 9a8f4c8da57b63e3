import time

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import nn

from clinical_qkt.core.errors import InputError
from clinical_qkt.networks.registry import ALLOWED, PRESETS
from clinical_qkt.networks.spec import NetworkSpec, find_head, preset, reshape_head
from clinical_qkt.packages.model import require_modest

SIZES = {
    "resnet_small": [[28, 28], [64, 64]],
    "resnet_small_stride2": [[28, 28], [24, 24, 24]],
    "resnet_small_group": [[28, 28], [24, 24, 24]],
    "resnet_small_instance": [[28, 28], [24, 24, 24]],
    "resnet18": [[28, 28]],
    "resnet18_standard": [[96, 96], [48, 48, 48]],
    "resnet50_standard": [[96, 96]],
    "densenet_small": [[24, 24], [28, 28], [24, 24, 24]],
    "densenet_private": [[24, 24], [28, 28], [64, 64], [24, 24, 24]],
    "densenet121": [[64, 64], [32, 32, 32]],
    "efficientnet_small": [[24, 24], [32, 32], [24, 24, 24]],
    "efficientnet_b0": [[32, 32]],
    "efficientnet_lite0": [[32, 32], [96, 70], [32, 32, 32]],
    "efficientnet_lite0_stages": [[32, 32], [96, 70], [32, 32, 32]],
    "seresnet_small": [[20, 20], [28, 28], [24, 24, 24]],
    "vit_small": [[24, 24], [28, 28], [32, 32], [24, 24, 24]],
    "vit_s16": [[96, 96], [32, 32, 32]],
}


@pytest.mark.parametrize("name", PRESETS)
def test_each_preset_gives_a_logit_a_class_for_each_size_and_can_be_trained(name):
    for size in SIZES[name]:
        network = preset(name, 1, size).build(5)
        network(torch.randn(2, 1, *size)).sum().backward()
        assert network.eval()(torch.randn(1, 1, *size)).shape == (1, 5)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("densenet121", [28, 28]),
        ("vit_small", [30, 30]),
        ("vit_small", [20, 20, 20]),
        ("vit_s16", [100, 100]),
    ],
)
def test_a_size_that_a_network_cannot_take_is_refused(name, size):
    with pytest.raises(InputError, match=f"'{name}' cannot take images of {'x'.join(map(str, size))}"):
        preset(name, 1, size)


def test_trying_a_size_leaves_the_random_numbers_as_they_were():
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    preset("resnet_small", 3, [28, 28])
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("ViT", {"hidden_size": 100_000}),
        ("ViT", {"classification": False}),
        ("EfficientNet", {"blocks_args_str": ["r1_k3_s11_e1_i99999_o16_se0.25"]}),
        ("EfficientNet", {"blocks_args_str": "r1"}),
        ("ResNet", {"layers": [1] * 9}),
        ("GroupNormDenseNet", {"norm": "batch"}),
        ("Linear", {}),
    ],
)
def test_arguments_that_are_not_on_the_list_are_refused(name, args):
    with pytest.raises(ValueError, match="argument|not on the list"):
        NetworkSpec(name=name, spatial_dims=2, in_channels=1, args=args)


def test_the_small_network_has_about_0_3_million_parameters():
    count = sum(p.numel() for p in preset("resnet_small", 3, [28, 28]).build(8).parameters())
    assert 0.28e6 < count < 0.34e6


@pytest.mark.parametrize("name", ["DenseNet121", "SEResNet50", "EfficientNetBN"])
def test_every_listed_network_can_be_built_and_has_a_head(name):
    args = {"model_name": "efficientnet-b0"} if name == "EfficientNetBN" else {}
    network = NetworkSpec(name=name, spatial_dims=2, in_channels=1, args=args).build(3)
    assert network.get_submodule(find_head(network)).out_features == 3


@pytest.mark.parametrize("name", ["resnet_small_group", "resnet_small_instance"])
def test_without_batch_norm_a_network_in_training_says_of_an_image_what_it_says_of_it_alone(name):
    network = preset(name, 3, [28, 28]).build(4).train()
    plain = preset("resnet_small", 3, [28, 28]).build(4)
    assert sum(p.numel() for p in network.parameters()) == sum(p.numel() for p in plain.parameters())
    assert not list(network.buffers())
    images = torch.randn(3, 3, 28, 28)
    assert torch.allclose(network(images)[:1], network(images[:1]), atol=1e-5)
    assert not torch.allclose(plain.train()(images)[:1], plain(images[1:])[:1], atol=1e-5)


def test_an_unknown_preset_is_refused_with_the_likeliest():
    with pytest.raises(InputError, match="unknown network 'resnet_smal'") as e:
        preset("resnet_smal", 3, [28, 28])
    assert "did you mean 'resnet_small'" in str(e.value)


def test_a_grown_head_keeps_its_rows_and_is_neutral_in_the_new_ones():
    network = preset("resnet_small", 3, [28, 28]).build(3).eval()
    grown = reshape_head(network, {0: 0, 1: 2}, 4).eval()
    x = torch.randn(4, 3, 28, 28)
    before, after = network(x), grown(x)
    assert torch.allclose(after[:, 0], before[:, 0]) and torch.allclose(after[:, 1], before[:, 2])
    assert torch.equal(after[:, 2:], torch.zeros(4, 2))
    assert network.fc.out_features == 3  # the original is untouched


def test_a_network_without_a_linear_layer_has_no_head():
    with pytest.raises(InputError, match="no linear layer"):
        find_head(nn.Conv2d(3, 3, 3))


ARGS = st.dictionaries(
    st.sampled_from(sorted(set().union(*(a.others for a in ALLOWED.values())))),
    st.integers(0, 4096)
    | st.lists(st.integers(0, 4096), max_size=8)
    | st.sampled_from(["basic", "bottleneck", "batch", "instance", "efficientnet-b7", "efficientnet-l2"])
    | st.lists(
        st.from_regex(r"r[1-9]_k[357]_s[12]{2}_e[1-8]_i\d\d_o\d\d_se0\.25", fullmatch=True), max_size=8
    ),
    max_size=4,
)


@settings(max_examples=15, deadline=None)
@example(name="EfficientNetBN", args={"model_name": ["efficientnet-b0"]}, dims=2, wild=True)
@given(name=st.sampled_from(sorted(ALLOWED)), args=ARGS, dims=st.integers(2, 3), wild=st.booleans())
def test_no_arguments_make_a_card_expensive(name, args, dims, wild):
    """Whatever is asked for is refused, or built and tried without memory, at a bounded cost."""
    usual = {
        "ResNet": {"block": "basic", "layers": [1, 1, 1, 1], "block_inplanes": [8, 8, 8, 8]},
        "ViT": {"img_size": [64] * dims, "patch_size": [8] * dims, "hidden_size": 32, "num_heads": 2},
        "EfficientNetBN": {"model_name": "efficientnet-b0"},
    }
    known = {k: v for k, v in args.items() if wild or k in ALLOWED[name].others}
    _cheap(name, {**usual.get(name, {}), **known}, dims)


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("ResNet", {"block": "bottleneck", "layers": [28] * 4, "block_inplanes": [4096] * 4}),
        ("DenseNet121", {"block_config": [28] * 4, "growth_rate": 4096}),
        ("SEResNet50", {"layers": [14] * 4}),
        ("ViT", {"img_size": [64] * 2, "patch_size": [8] * 2, "num_layers": 56, "hidden_size": 768}),
        ("EfficientNetBN", {"model_name": "efficientnet-b7"}),
    ],
)
def test_the_deepest_networks_that_may_be_named_are_built_at_once(name, args):
    assert _cheap(name, args, 2)
    deeper = {k: [v[0] + 1, *v[1:]] if k in ("layers", "block_config") else v for k, v in args.items()}
    deeper |= {"num_layers": 57} if "num_layers" in args else {}
    deeper |= {"model_name": "efficientnet-l2"} if "model_name" in args else {}
    with pytest.raises(ValueError, match="deeper than|is none of"):
        NetworkSpec(name=name, spatial_dims=2, in_channels=3, args=deeper)


MOST = 30
"""How many times an ordinary network's cost any other may have; the deepest have some ten times."""
ORDINARY = {"block": "bottleneck", "layers": [2] * 4, "block_inplanes": [64] * 4}


def _cheap(name: str, args: dict, dims: int) -> bool:
    start = time.process_time()
    try:
        network = _tried(name, args, dims)
    except (ValueError, InputError):
        return False
    finally:
        took = time.process_time() - start
        if took > 1:  # then the machine may be slow just now, so that an ordinary network tells
            assert took < MOST * _cost_of_an_ordinary_network()
    assert {k for k, _ in network.named_buffers()} <= set(network.state_dict())
    return True


def _tried(name: str, args: dict, dims: int) -> nn.Module:
    spec = NetworkSpec(name=name, spatial_dims=dims, in_channels=3, args=args)
    with torch.device("meta"):
        network = spec.build(3).eval()
        require_modest(network, 3, [64] * dims)
    return network


def _cost_of_an_ordinary_network() -> float:
    """In seconds of computing, now: the machine's speed is not always the same."""
    start = time.process_time()
    for _ in range(3):
        _tried("ResNet", ORDINARY, 2)
    return (time.process_time() - start) / 3
