"""A package within all limits, from a site that is trusted, asks for large images: memory is what it costs.

Each attack is run with so many megabytes left to the process: what needs more ends it, as a computer would.
"""

from __future__ import annotations

import re
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from clinical_qkt.data.inputs import InputContract
from clinical_qkt.data.label_space import LabelSpace
from clinical_qkt.data.transforms import cached, reading
from clinical_qkt.networks.spec import NetworkSpec, preset
from clinical_qkt.packages.card import Card
from clinical_qkt.packages.model import save_model
from clinical_qkt.qkt.probing import probe
from clinical_qkt.qkt.teachers import read_teachers
from clinical_qkt.training.inference import labels_of, logits_of

CPU = torch.device("cpu")
LARGE = [1000, 1000]
STATUS = Path("/proc/self/status")
pytestmark = [
    pytest.mark.skipif(not STATUS.exists(), reason="memory is measured as Linux tells it"),
    pytest.mark.usefixtures("real_footprints"),
]


def held(what: str) -> float:
    """Megabytes of this process: VmSize, VmRSS, or VmHWM, the most since the last ``limited``."""
    found = re.search(what + r":\s+(\d+)", STATUS.read_text())
    assert found
    return int(found[1]) / 1e3


@contextmanager
def limited(megabytes: int) -> Iterator[None]:
    """Within it the process gets so much more memory, and no more."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    Path("/proc/self/clear_refs").write_text("5")
    resource.setrlimit(resource.RLIMIT_AS, (int((held("VmSize") + megabytes) * 1e6), before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def package(folder: Path, **args: Any) -> Path:
    """A teacher of 80 kB that wants pictures of a million pixels, and hardly looks at them."""
    deep = {"block": "basic", "layers": [1, 1, 1, 1], "block_inplanes": [8, 8, 8, 8], "conv1_t_size": 7}
    spec = NetworkSpec(
        name="ResNet", spatial_dims=2, in_channels=3, args={**deep, "conv1_t_stride": 16, **args}
    )
    network = spec.build(2)
    card = Card(
        site="hospital_b",
        task="t",
        label_space=["red", "green"],
        network=spec,
        head="fc",
        input=InputContract(channels=3, spatial_size=LARGE),
    )
    save_model(folder, network, card)
    assert sum(f.stat().st_size for f in folder.iterdir()) < 5e6
    return folder


def probed(folder: Path, count: int) -> list[float]:
    """The first step of a transfer."""
    [model] = read_teachers([folder], LabelSpace(["red", "green"]))
    return probe(model, seed=0, device=CPU, count=count).scores.tolist()


def test_probes_of_a_million_pixels_are_made_a_few_at_a_time(tmp_path):
    folder = package(tmp_path / "p")
    probed(folder, 4)
    with limited(200):
        before = held("VmRSS")
        assert len(probed(folder, 16)) == 2
        assert held("VmHWM") - before < 200


@pytest.mark.slow
def test_all_probes_of_a_million_pixels_take_no_more_than_a_batch_may(tmp_path, record_property):
    folder = package(tmp_path / "p")
    probed(folder, 4)
    with limited(4000):
        before = held("VmRSS")
        assert len(probed(folder, 2048)) == 2
        record_property("megabytes", held("VmHWM") - before)
        print(f"2,048 probes of 1000x1000: {held('VmHWM') - before:.0f} MB more at the peak")
        assert held("VmHWM") - before < 500


def test_honest_pictures_of_512_pixels_are_answered_for_a_few_at_a_time():
    network = preset("resnet_small", 3, [512, 512]).build(2).eval()
    picture = torch.zeros(3, 512, 512)
    logits_of(network, [{"image": picture}], CPU)
    with limited(280):
        assert logits_of(network, [{"image": picture}] * 5, CPU).shape == (5, 2)


@pytest.mark.slow
@pytest.mark.parametrize(("size", "images"), [([512, 512], 300), ([96, 96, 96], 100)])
def test_honest_images_of_a_usual_size_take_no_more_than_a_batch_may(size, images):
    channels = 3 if len(size) == 2 else 1
    network = preset("resnet_small", channels, size).build(2).eval()
    image = torch.zeros(channels, *size)
    with limited(4000):
        before = held("VmRSS")
        assert logits_of(network, [{"image": image}] * images, CPU).shape == (images, 2)
        print(f"{images} images of {size}: {held('VmHWM') - before:.0f} MB more at the peak")
        assert held("VmHWM") - before < 500


def test_own_images_in_another_models_size_are_not_all_kept(tmp_path):
    Image.fromarray(np.full((28, 28, 3), 90, np.uint8)).save(tmp_path / "a.png")
    items = [{"image": str(tmp_path / "a.png"), "label": 0}] * 60
    wanted = InputContract(channels=3, spatial_size=LARGE)
    others = {"own": False} if "own" in cached.__annotations__ else {}
    with limited(400):
        images = cached(items, reading("display"), wanted, "training images", **others)
        assert labels_of(images).tolist() == [0] * 60
        assert images[59]["image"].shape == (3, *LARGE)
