"""What a network needs, measured without memory, against what it takes."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
from torch import Tensor, nn

from clinical_qkt.core.batches import OVERHEAD
from clinical_qkt.core.footprint import Alive, Footprint
from clinical_qkt.data.inputs import InputContract
from clinical_qkt.networks.extractor import Pooling, describe
from clinical_qkt.networks.joint_opinion import joint_opinion, opinion_bytes
from clinical_qkt.networks.registry import PRESETS
from clinical_qkt.networks.spec import NetworkSpec, preset

pytestmark = pytest.mark.usefixtures("real_footprints")


def small() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.AvgPool2d(8), nn.Conv2d(4, 2, 1)
    )


def test_it_is_what_is_alive_at_one_time():
    image, layer = 64 * 4, 4 * 64 * 4
    needed = Footprint(small(), (1, 8, 8), 16)
    for images in (1, 16):  # the image, what one layer gives and what the next makes of it; a few bytes more
        assert 0 <= needed(images) - images * (2 * layer + image) < 100
    assert Footprint(small(), (1, 8, 8), 16, training=True)(16) > 16 * 3 * layer


@pytest.mark.parametrize("name", ["densenet_small", "seresnet_small"])
def test_between_one_image_and_a_full_batch_it_is_no_less_than_measured(name):
    network = preset(name, 3, [32, 32]).build(3)
    line = Footprint(network, (3, 32, 32), 64)
    for images in (2, 7, 32):
        assert line(images) >= Footprint(network, (3, 32, 32), images)(images)


def test_a_network_is_left_as_it_was_and_nobody_who_looks_on_is_called():
    network, calls = small().train(), []
    network[0].register_forward_hook(lambda *_: calls.append("after"))
    network[4].register_forward_pre_hook(lambda *_: calls.append("before"))
    before = {k: v.clone() for k, v in network.state_dict().items()}
    drawn = torch.get_rng_state()
    for training in (False, True):
        Footprint(network, (1, 8, 8), 8, training=training)(4)
        assert (calls == [] or training) and network.training
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())
    assert torch.equal(drawn, torch.get_rng_state())
    calls.clear()
    network.eval()(torch.zeros(1, 1, 8, 8))
    assert calls == ["after", "before"]


def test_networks_of_one_make_are_looked_at_once_and_one_that_differs_by_a_word_again(monkeypatch):
    looks, tried = [], Footprint._tried
    monkeypatch.setattr(Footprint, "_tried", lambda self, n: looks.append(n) or tried(self, n))
    args = {"block": "basic", "layers": [1, 1, 1, 1], "block_inplanes": [7, 7, 7, 7]}
    spec = NetworkSpec(name="ResNet", spatial_dims=2, in_channels=1, args={**args, "no_max_pool": True})
    other = spec.model_copy(update={"args": {**args, "no_max_pool": False}})
    one, two = (Footprint(s.build(2), (1, 40, 40), 4)(4) for s in (spec, spec))
    assert one == two and looks == [4]
    assert Footprint(other.build(2), (1, 40, 40), 4)(4) < one and looks == [4, 4]


class Fixed(nn.Module):
    """Holds a tensor that is no weight, and so cannot be looked at without memory."""

    def __init__(self) -> None:
        super().__init__()
        self.table = torch.ones(3)

    def forward(self, x: Tensor) -> Tensor:
        return self.table + x.flatten(1)[:, :3]


def test_a_network_that_cannot_be_looked_at_without_memory_gets_one_image():
    assert Footprint(Fixed(), (1, 8, 8), 16)(16) == 16 * Footprint(Fixed(), (1, 8, 8), 1)(1) >= 16 * 64 * 4


def test_stages_that_are_pooled_stay_alive_to_the_end():
    network = preset("resnet_small", 3, [28, 28])
    built = network.build(2).eval()
    spec = describe(built, network, network.stages, InputContract(channels=3, spatial_size=[28, 28]))
    body = Pooling(spec, built)
    assert Footprint(body, (3, 28, 28), 8, body.pooled)(8) > 1.1 * Footprint(built, (3, 28, 28), 8)(8)


@pytest.mark.parametrize(("images", "width", "models"), [(10, 64, 3), (50, 20, 2), (2, 100, 2)])
def test_a_joint_opinion_takes_no_more_than_is_said_of_it(images, width, models):
    said, columns = [torch.zeros(images, width)] * models, [list(range(width))] * models
    with torch.no_grad(), Alive() as alive:
        joint_opinion(said, columns, width)
    assert alive.most <= opinion_bytes(images, width) * 1.1


CHILD = """
import re, sys, torch
from pathlib import Path
from clinical_qkt.core.footprint import Footprint
from clinical_qkt.networks.spec import preset
name, side, dims, images = sys.argv[1], *map(int, sys.argv[2:])
channels, size = 3 if dims == 2 else 1, [side] * dims
network = preset(name, channels, size).build(4).eval()
told = Footprint(network, (channels, *size), images)(images)
status = Path("/proc/self/status")
def memory(what): return int(re.search(what + r":\\s+(\\d+)", status.read_text())[1]) * 1024
with torch.no_grad():
    network(torch.zeros(1, channels, *size))
    Path("/proc/self/clear_refs").write_text("5")
    before = memory("VmRSS")
    network(torch.rand(images, channels, *size))
print(told, memory("VmHWM") - before)
"""


SET_UP = 100e6
"""What libraries keep for the layers of a network, whatever it sees."""


@pytest.mark.slow
@pytest.mark.parametrize(("dims", "side", "images"), [(2, 224, 6), (2, 32, 256), (3, 64, 4)])
@pytest.mark.parametrize("name", sorted(PRESETS))
def test_a_batch_takes_no_more_than_what_is_alive_and_the_layers_own_work(name, dims, side, images):
    if name == "vit_small" and (dims, side) == (2, 224):
        images = 1  # attention between 3,136 patches
    command = [sys.executable, "-c", CHILD, name, str(side), str(dims), str(images)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    told, took = map(int, done.stdout.split())
    print(f"{name} {dims}D {side}: alive {told / 1e6:.0f} MB, taken {took / 1e6:.0f} MB, {took / told:.2f}")
    assert took <= OVERHEAD * told + SET_UP
