"""A federation of three sites on coloured squares, trained in seconds, as the methods see it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from clinical_qkt.data.inputs import InputContract
from clinical_qkt.data.label_space import LabelSpace, align
from clinical_qkt.data.transforms import symmetries
from clinical_qkt.networks.spec import find_head, preset
from clinical_qkt.packages.card import Card
from clinical_qkt.packages.model import Model, load_model, save_model
from clinical_qkt.qkt.losses import restricted_cross_entropy
from clinical_qkt.qkt.probing import probe
from clinical_qkt.qkt.teachers import AlignedModel, Teacher
from clinical_qkt.research.methods.case import Case, Member
from clinical_qkt.training.loop import train
from tests.conftest import COLOURS, square
from tests.once import once

CPU = torch.device("cpu")
SITES = {
    "A": ["red", "green", "blue"],
    "B": ["red", "yellow", "violet"],
    "C": ["green", "yellow", "blue"],
}
QUERIED = "yellow"


def pictures(colours: list[str], start: int, count: int) -> list[dict[str, Any]]:
    """``count`` prepared squares of each colour; labels are positions in ``colours``."""
    made = []
    for label, colour in enumerate(colours):
        assert colour in COLOURS
        for i in range(count):
            pixels = np.moveaxis(square(colour, start + i, size=28), -1, 0).astype(np.float32)
            made.append({"image": torch.from_numpy(pixels / 127.5 - 1), "label": label})
    return made


def trained(folder: Path, site: str, training: list[dict[str, Any]], name: str = "resnet_small") -> Model:
    """A site's model as a package that was written and read."""
    spec, classes = preset(name, 3, [28, 28]), SITES[site]
    torch.manual_seed(0)
    network = train(
        spec.build(len(classes)),
        training,
        symmetries([28, 28]),
        lambda logits, targets: restricted_cross_entropy(logits, targets["label"], range(len(classes))),
        max_epochs=5,
        learning_rate=5e-3,
        batch_size=32,
        seed=0,
        device=CPU,
        what=f"site {site}",
    )
    card = Card(
        site=site, task="squares", label_space=classes, network=spec, head=find_head(network),
        input=InputContract(channels=3, spatial_size=[28, 28]),
    )  # fmt: skip
    save_model(folder / site, network, card)
    return load_model(folder / site)


@pytest.fixture(scope="session")
def members() -> list[Member]:
    """The three sites with their images, the student first; treat them as read-only."""
    images = [pictures(c, 10_000 * (number + 1), 60) for number, c in enumerate(SITES.values())]

    def make(folder: Path) -> None:
        for site, training in zip(SITES, images, strict=True):
            trained(folder, site, training)

    folder = once("sites", make)
    return [Member(load_model(folder / s), training) for s, training in zip(SITES, images, strict=True)]


@pytest.fixture(scope="session")
def teachers(members: list[Member]) -> list[Teacher]:
    """Sites B and C, probed and aligned to the student's classes and its query; read-only."""
    labels = LabelSpace([*SITES["A"], QUERIED])
    found = [AlignedModel(m.model, align(m.model.card.labels, labels)) for m in members[1:]]
    return [probe(model, seed=0, device=CPU, count=512) for model in found]


@pytest.fixture
def case(members: list[Member], teachers: list[Teacher], tmp_path: Path) -> Case:
    """Site A asks for yellow."""
    return Case(
        own=members[0].model,
        labels=LabelSpace([*SITES["A"], QUERIED]),
        query=[3],
        training=members[0].training,
        validation=pictures(SITES["A"], 50_000, 16),
        teachers=list(teachers),
        augment=symmetries([28, 28]),
        seed=0,
        device=CPU,
        shared=tmp_path / "shared",
        federation=lambda: list(members),
    )


@pytest.fixture(scope="session")
def held_out() -> list[dict[str, Any]]:
    """Test images, of the queried class too; labels are positions in ``case.labels``."""
    return pictures([*SITES["A"], QUERIED], 90_000, 20)
