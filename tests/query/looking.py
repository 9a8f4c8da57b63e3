"""A site whose pictures look different from the asker's, and a query that tells how the asker's look."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from clinical_qkt.core.terms import Kind
from clinical_qkt.data.datalist import load_datalist
from clinical_qkt.data.inputs import InputContract
from clinical_qkt.data.label_space import ClassLabel
from clinical_qkt.data.look_shared import looks_of, spread_of
from clinical_qkt.networks.extractor import Extractor, describe
from clinical_qkt.networks.spec import preset
from clinical_qkt.packages.looks import SentLooks
from clinical_qkt.packages.query import Query, QueryCard, load_query, save_query
from clinical_qkt.query.contributions import Seen
from clinical_qkt.query.response import Responding
from tests.conftest import square
from tests.query.test_response import CPU, READ, given

SIZE = 12
GIVEN = InputContract(channels=3, spatial_size=[SIZE, SIZE])
SPEC = preset("resnet_small", 3, [SIZE, SIZE])
EXACT = {"kinds": ["covariance"], "unit": "image", "minimum_patients": 20}
PRIVATE = {"kinds": ["private_mean"], "unit": "image", "epsilon": 20.0, "total_epsilon": 100.0}


def stained(picture: np.ndarray) -> np.ndarray:
    """As another laboratory would show it: darker, with another gain of each channel."""
    shares = (picture / 255.0) ** 1.4 * np.array([0.95, 0.8, 0.9]) + 0.03
    return (255 * shares).clip(0, 255).astype(np.uint8)


def shown(kind: str, first: int, count: int, look=lambda picture: picture) -> Tensor:
    """Pictures as a network takes them."""
    raw = np.stack([look(square(kind, i, SIZE)) for i in range(first, first + count)])
    return GIVEN.values(torch.from_numpy(raw.transpose(0, 3, 2, 1).astype(np.float32)))


def pictures(folder: Path, look=stained, count: int = 40, name: str = "d.json", skip: tuple = ()) -> Path:
    """A site's squares in a look of its own, and its datalist; one picture of each patient but two."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for kind in ("red", "green"):
        for i in range(1000, 1000 + count):
            file = f"{kind}{i}.png"
            if not (folder / file).exists():
                Image.fromarray(look(square(kind, i, SIZE))).save(folder / file)
            if (kind, i) not in skip:
                patient = f"p{i}" if i < 1002 else f"{kind}-{i}"  # the first two are in both classes
                rows.append({"image": file, "label": kind, "patient": patient})
    (folder / name).write_text(json.dumps({"training": rows, "validation": [], "test": []}))
    return folder


@cache
def extractor() -> Extractor:
    """As it is asked with; never changed."""
    torch.manual_seed(0)
    network = SPEC.build(2).eval()
    made = Extractor(describe(network, SPEC, ["bn1"], GIVEN), network)
    _, features = made(torch.cat([shown(kind, 0, 60) for kind in ("green", "red")]))
    made.center, made.projection = features.mean(0).detach(), (1 / features.std(0)).diag().detach()
    return made.double_map()


@cache
def looks() -> tuple[Tensor, Tensor]:
    """Numbers of the asker's green squares, and their mean features."""
    own = shown("green", 0, 60)
    return GIVEN.look_of(own), extractor()(own)[1].mean(0).detach()


def query(folder: Path, classes: tuple = ("green",), edit=None, means=None, **changes) -> Query:
    """Asks for red, and tells how the asker's squares of other classes look.

    Args:
        classes: of which looks are told, each with the look of green.
    """
    made = copy.deepcopy(extractor())
    if edit:
        with torch.no_grad():
            edit(made)
    numbers, mean = looks()
    green = ["green"] * len(numbers)
    found = looks_of(numbers, green)
    told = SentLooks.of(
        dict.fromkeys(classes, found["green"]),
        spread_of(numbers, green),
        [ClassLabel(name=c) for c in classes],
        GIVEN,
        20,
    )
    card = QueryCard(
        **{
            "site": "site_a", "task": "t", "extractor": made.spec, "input": GIVEN, "query": ["red"],
            "welcome": ["covariance", "diagonal", "mean", "private_mean"], "private_axes": 32,
            "radius": 8.0, "model_sha256": "0" * 64, "looks": told, **changes,
        }
    )  # fmt: skip
    one = mean if means is None else means
    save_query(folder, made, card, torch.stack([one] * len(card.looks.classes)) if card.looks else None)
    return load_query(folder)


def seen(asked: Query, who, kind: Kind, noise=None) -> Seen:
    """What an answering site sees for red, before anything is drawn of it."""
    data = load_datalist(who.data, who.labels, need=("training",))
    responding = Responding(who, asked, data, given(who), READ, CPU, True)
    responding.images({0: kind})
    one_pass = responding.one_pass()
    if noise and one_pass.comparing:
        one_pass = replace(one_pass, comparing=replace(one_pass.comparing, noise=noise))
    return one_pass.run(who.labels, {0: kind})[0]
