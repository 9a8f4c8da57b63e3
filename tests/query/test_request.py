"""A second query of the same site with the same network asks that network nothing again."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import Dataset
from PIL import Image

from clinical_qkt.data.inputs import InputContract
from clinical_qkt.data.transforms import adapter, reading
from clinical_qkt.networks.spec import find_head, preset
from clinical_qkt.packages.card import Card
from clinical_qkt.packages.model import load_model, save_model
from clinical_qkt.query import request
from clinical_qkt.training.kept_outputs import KeptOutputs

GIVEN = InputContract(channels=3, spatial_size=[28, 28])
CPU = torch.device("cpu")


@pytest.fixture
def images(tmp_path):
    for k in range(12):
        pixels = np.random.default_rng(k).integers(0, 256, (28, 28, 3)).astype(np.uint8) // (1 + k % 2)
        Image.fromarray(pixels).save(tmp_path / f"{k}.png")
    items = [{"image": str(tmp_path / f"{k}.png"), "label": k % 2} for k in range(12)]
    return Dataset(items, adapter(reading("display"), GIVEN))


@pytest.fixture
def own(tmp_path):
    torch.manual_seed(0)
    spec = preset("resnet_small", 3, [28, 28])
    network = spec.build(2)
    card = Card(
        site="hospital_a",
        task="t",
        label_space=["a", "b"],
        network=spec,
        head=find_head(network),
        input=GIVEN,
    )
    save_model(tmp_path / "own", network, card)
    return load_model(tmp_path / "own")


@pytest.mark.parametrize("change", ["nothing", "labels"])
def test_what_its_network_gives_is_kept_for_the_next_query(own, images, tmp_path, monkeypatch, change):
    asked = []
    for where, name in ((request, "pooled_of"), (request.axes, "moves")):
        made = getattr(where, name)
        monkeypatch.setattr(where, name, lambda *a, made=made, name=name: (asked.append(name), made(*a))[1])

    def question():
        """In a run of its own."""
        settings, kept = request.QuerySettings(mirror_axes=[]), KeptOutputs(tmp_path / "kept")
        return request.own_question(own, settings, images, CPU, kept)

    first = question()
    if change == "labels":
        for k, item in enumerate(images.data):
            item["label"] = int(k < 6)
    second = question()
    # labels decide which images are varied side by side, not what the network gives of each
    assert asked == ["pooled_of", "moves"] + (["moves"] if change == "labels" else [])
    same = torch.equal(first.extractor.projection, second.extractor.projection)
    assert same == (change == "nothing")
    plain = request.own_question(own, request.QuerySettings(mirror_axes=[]), images, CPU)
    assert torch.equal(plain.extractor.projection, second.extractor.projection)
    assert plain.radius == second.radius
