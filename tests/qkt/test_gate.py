"""From images to a gate."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from clinical_qkt.data.inputs import InputContract
from clinical_qkt.networks.spec import preset
from clinical_qkt.packages.card import Card
from clinical_qkt.qkt.gate import answers, gated
from clinical_qkt.qkt.strangers import OtherModality, strangers, tomogram
from clinical_qkt.training.inference import logits_of

DEVICE = torch.device("cpu")
COLOURS = torch.eye(3) * 1.2 - 0.6


class Colour(nn.Module):
    """Says by its colour which class a picture shows."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return 8 * image.mean((2, 3)) @ COLOURS.T


def images(seed: int, *classes: int, each: int = 20) -> list[dict]:
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(len(classes) * each, 3, 8, 8, generator=generator) * 0.1
    labels = np.repeat(classes, each)
    return [
        {"image": n + COLOURS[c][:, None, None], "label": int(c)} for n, c in zip(noise, labels, strict=True)
    ]


def asked_about(shown: list[dict]):
    return answers(logits_of(Colour(), shown, DEVICE), shown)


@pytest.fixture(scope="module")
def card() -> Card:
    given = InputContract(channels=3, spatial_size=[8, 8])
    network = preset("resnet_small", 3, [8, 8])
    return Card(site="us", task="t", label_space=["r", "g", "b"], network=network, head="fc", input=given)


def test_a_gate_is_made_of_own_images_and_refuses_drawings_and_noise(card):
    made = images(0, 0, 1), images(1, 0, 1), asked_about(images(2, 0, 1, 2))
    door, found = gated(Colour(), card, *made, ["r", "g", "b"], [2], DEVICE)
    assert found.cost.queried.images == 20 and found.cost.retained.images == 40
    assert found.cost.retained.share < 0.2 and found.unlike
    kinds = {s.kind: s for s in found.sources}
    assert set(kinds) == {"hidden class", "noise and shapes", "another modality"}
    assert kinds["another modality"].refused.share == 1 and kinds["another modality"].auroc == 1
    assert door.pictures is not None and door.threshold == found.threshold


def test_training_images_of_the_queried_class_change_nothing_of_the_gate(card):
    made = images(1, 0, 1), asked_about(images(2, 0, 1, 2))
    one, two = (
        gated(Colour(), card, training, *made, ["r", "g", "b"], [2], DEVICE)[0]
        for training in (images(0, 0, 1), images(0, 0, 1) + images(5, 2))
    )
    assert one == two


@pytest.mark.parametrize(
    ("channels", "size", "name"),
    [
        (3, [12, 10], "drawn tomograms"),
        (1, [12, 10], "drawn blood cells"),
        (1, [10, 9, 8], "drawn tomograms"),
    ],
)
def test_another_modality_is_drawn_in_the_sites_own_format(channels, size, name):
    drawings, apart = (
        OtherModality(InputContract(channels=channels, spatial_size=size), 3, 0) for _ in range(2)
    )
    drawn = drawings.take(3)
    assert drawings.name == name and drawn.shape == (3, channels, *size)
    assert 0 <= float(drawn.min()) < float(drawn.max()) <= 1
    assert torch.equal(torch.cat([apart.take(1), apart.take(2)]), drawn)


def test_strangers_are_the_same_for_the_same_seed():
    given = InputContract(channels=3, spatial_size=[8, 8])
    one, two, other = (strangers(Colour(), given, DEVICE, count=4, seed=s) for s in (1, 1, 2))
    assert all((a.logits == b.logits).all() for a, b in zip(one, two, strict=True))
    assert not (one[0].logits == other[0].logits).all()


def test_no_two_tomograms_are_alike():
    rng = np.random.default_rng(0)
    assert not np.allclose(tomogram([16, 16], rng), tomogram([16, 16], rng))
