"""A hospital that measures another one's new model: images, a YAML, and models that say what a test wants."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from clinical_qkt.data.inputs import InputContract
from clinical_qkt.networks.spec import find_head, preset
from clinical_qkt.packages.card import Card
from clinical_qkt.packages.model import save_model
from clinical_qkt.site.config import Site, check_site
from tests.conftest import square

SIZE = [12, 12]
SPEC = preset("resnet_small", 3, SIZE)


def images(folder: Path, *, patients: bool = True, first: int = 0, **counts: int) -> Path:
    """A datalist whose test section has so many images of each class, two of each patient."""
    folder.mkdir(parents=True, exist_ok=True)
    listed: dict[str, list[dict[str, str]]] = {"training": [], "validation": [], "test": []}
    for kind, count in counts.items():
        for i in range(first, first + count):
            Image.fromarray(square(kind, i, size=12)).save(folder / f"{kind}{i:03d}.png")
            named = {"patient": f"{kind}-{i // 2}"} if patients else {}
            listed["test"].append({"image": f"{kind}{i:03d}.png", "label": kind, **named})
    (folder / "d.json").write_text(json.dumps(listed))
    return folder / "d.json"


def values(data: Path, out: Path, **changes: Any) -> dict[str, Any]:
    """A site's YAML."""
    about: dict[str, Any] = {
        "site": "site_b", "data": str(data), "classes": ["red", "green", "blue"], "channels": 3,
        "spatial_size": SIZE, "output_dir": str(out), "ledger": str(out / "ledger.db"),
        "untrusted_packages": "accept", "bundle": "blood_cell_classification",
    }  # fmt: skip
    return about | changes


def site(data: Path, out: Path, **changes: Any) -> Site:
    places = {"package_dir": "p", "query_dir": "q", "transfer_dir": "t"}
    return check_site(values(data, out, **places, **changes), "site_b.yaml")


def new_model(folder: Path, seed: int = 0, **changes: Any) -> Path:
    """A student's new model that was never trained; it gained blue."""
    torch.manual_seed(seed)
    network = SPEC.build(len(changes.get("label_space", "rgb")))
    about: dict[str, Any] = {
        "site": "student", "task": "blood_cell_classification", "label_space": ["red", "green", "blue"],
        "network": SPEC, "head": find_head(network), "gained": ["blue"],
        "input": InputContract(channels=3, spatial_size=SIZE),
    }  # fmt: skip
    save_model(folder, network, Card(**(about | changes)))
    return folder
