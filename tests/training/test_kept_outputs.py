"""What a network said of images is not asked again, unless weights, images or preparation changed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import Dataset
from PIL import Image

from clinical_qkt.data.inputs import InputContract
from clinical_qkt.data.transforms import adapter, reading
from clinical_qkt.networks.spec import preset
from clinical_qkt.training.inference import logits_of
from clinical_qkt.training.kept_outputs import KeptOutputs

GIVEN = InputContract(channels=3, spatial_size=[28, 28])
CPU = torch.device("cpu")


@pytest.fixture
def images(tmp_path):
    for k in range(3):
        pixels = np.random.default_rng(k).integers(0, 256, (28, 28, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{k}.png")
    items = [{"image": str(tmp_path / f"{k}.png"), "label": 0} for k in range(3)]
    return Dataset(items, adapter(reading("display"), GIVEN))


@pytest.mark.parametrize("change", ["nothing", "weights", "pixels", "order", "contract", "another thing"])
def test_only_what_is_the_very_same_is_not_asked_again(images, tmp_path, change):
    torch.manual_seed(0)
    spec = preset("resnet_small", 3, [28, 28])
    network, asked = spec.build(2).eval(), []

    def said(given=GIVEN, what="logits"):
        """In a run of its own."""

        def ask():
            asked.append(what)
            return logits_of(network, images, CPU)

        return KeptOutputs(tmp_path / "kept").of(network.state_dict(), spec, images, given, CPU, what, ask)

    first = said()
    if change == "weights":
        with torch.no_grad():
            network.fc.bias += 1
    if change == "pixels":
        Image.new("RGB", (28, 28), "red").save(tmp_path / "1.png")
    if change == "order":
        images.data.reverse()
    given = GIVEN.model_copy(update={"value_range": (0.0, 1.0)}) if change == "contract" else GIVEN
    second = said(given, "features" if change == "another thing" else "logits")
    assert len(asked) == (1 if change == "nothing" else 2)
    assert torch.equal(first, second) == (change in ("nothing", "contract", "another thing"))
    assert torch.equal(second, logits_of(network, images, CPU))


def test_images_that_are_no_files_are_asked_about_each_time_and_without_a_folder_all_are(images, tmp_path):
    spec = preset("resnet_small", 3, [28, 28])
    network, listed = spec.build(2).eval(), [images[0], images[1]]
    asked = []
    for kept, shown in ((KeptOutputs(tmp_path / "kept"), listed), (KeptOutputs(), images)):
        for _ in range(2):
            kept.of(
                network.state_dict(), spec, shown, GIVEN, CPU, "x", lambda: asked.append(1) or torch.zeros(3)
            )
    assert len(asked) == 4 and not (tmp_path / "kept").exists()
