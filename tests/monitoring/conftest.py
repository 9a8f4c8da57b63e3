"""A hospital whose model was never trained, and pictures for it: enough to watch."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from clinical_qkt.data.inputs import InputContract
from clinical_qkt.monitoring.check import Changed, Check, Counted
from clinical_qkt.monitoring.drift import Seen
from clinical_qkt.networks.spec import find_head, preset
from clinical_qkt.packages import made_here
from clinical_qkt.packages.card import Card
from clinical_qkt.packages.model import save_model
from tests.conftest import square

KINDS = ("red", "green", "blue")


def drawn(
    images: int, seed: int, *, classes: int = 3, moved: float = 0.0, mix: list[float] | None = None
) -> Seen:
    """Numbers as images of so many classes might have, all of them recognised."""
    rng = np.random.default_rng(seed)
    called = rng.choice(classes, images, p=mix)
    place = 3.0 * called[:, None]
    look, features = (place + rng.normal(moved, 1, (images, width)) for width in (3, 5))
    return Seen(look, features, called, rng.uniform(0.6, 1, images), np.arange(images))


def pictures(
    folder: Path, count: int, seed: int, change: Callable[[np.ndarray], np.ndarray] = lambda x: x
) -> Path:
    """A folder of coloured squares, as many of each kind."""
    folder.mkdir(parents=True)
    for i in range(count):
        picture = change(square(KINDS[i % 3], seed + i))
        Image.fromarray(picture).save(folder / f"patient_{i:03d}.png")
    return folder


@pytest.fixture(scope="package")
def hospital(tmp_path_factory) -> Path:
    """A site's YAML; its model lies in ``transfer/model``."""
    root = tmp_path_factory.mktemp("watched")
    files = sorted(pictures(root / "images", 90, 0).iterdir())
    entries = [{"image": str(p), "label": KINDS[i % 3]} for i, p in enumerate(files)]
    sections = {"training": entries[:3], "validation": entries[3:30], "test": entries[30:]}
    (root / "data.json").write_text(json.dumps({"name": "squares", "generated": True, **sections}))
    torch.manual_seed(0)
    spec, given = preset("resnet_small", 3, [28, 28]), InputContract(channels=3, spatial_size=[28, 28])
    network = spec.build(3)
    card = Card(
        site="us", task="t", label_space=list(KINDS), network=spec, head=find_head(network), input=given
    )  # fmt: skip
    save_model(root / "transfer" / "model", network, card, record=[root / "own" / made_here.FILE])
    values = {
        "site": "us", "data": str(root / "data.json"), "classes": list(KINDS),
        "output_dir": str(root / "own"), "transfer_dir": str(root / "transfer"),
        "bundle": "blood_cell_classification",
    }  # fmt: skip
    (root / "site.yaml").write_text(yaml.safe_dump(values))
    return root / "site.yaml"


def check_of(name: str = "w1", alarms: tuple[str, ...] = (), p: float = 0.5, **changes: object) -> Check:
    """A check of 200 images."""
    facts: dict[str, object] = {
        "name": name, "weights_sha256": "0" * 64, "yardstick": "baseline", "yardstick_name": "w0",
        "reference_images": 400, "images": 200, "units": 200, "unit": "image", "compared": 200,
        "images_changed": {r: Changed(deviation=4 if r in alarms else 1, limit=3, p=p if r in alarms else 0.6)
                           for r in ("look", "features", "certainty")},
        "moved": {"brightness of red": -1.2}, "unsure": 12,
        "counts": {"cat": Counted(count=3, low=0, high=9),
                   "<b>dog$x$</b>": Counted(count=197, low=150, high=200)},
        "unreadable": Counted(count=0, high=3), "listed": 200,
        "verdict": "alarm" if alarms else "quiet", "alarms": list(alarms), "switch_off": [],
    }  # fmt: skip
    return Check.model_validate(facts | changes)
