"""A hospital with 24 patients, and whoever works there for an asker: all he has is the command line."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from PIL import Image
from safetensors.torch import load_file

from clinical_qkt.bundle.stage_keys import StageKeys
from clinical_qkt.data.inputs import InputContract
from clinical_qkt.networks.extractor import Extractor, describe
from clinical_qkt.networks.spec import preset
from clinical_qkt.packages.query import QueryCard, save_query
from tests.conftest import run, square

TENSORS = "statistics.safetensors"


def asked(folder: Path, radius: float = 5.0, seed: int = 0, welcome: str = "private_mean") -> Path:
    """A query for red; with another radius or seed it is another question."""
    torch.manual_seed(seed)
    spec, expects = preset("resnet_small", 3, [12, 12]), InputContract(channels=3, spatial_size=[12, 12])
    network = spec.build(2).eval()
    extractor = Extractor(describe(network, spec, ["bn1"], expects), network)
    about: dict[str, Any] = {"site": "asker", "task": "t", "extractor": extractor.spec, "input": expects}
    about |= {"query": ["red"], "welcome": [welcome], "radius": radius, "model_sha256": "0" * 64}
    if "private_axes" in QueryCard.model_fields:
        about["private_axes"] = extractor.spec.features
    save_query(folder, extractor, QueryCard(**about))
    return folder


@dataclass
class Hospital:
    """A site's folder with images, datalist and YAML."""

    folder: Path
    site: str = "hospital_a"
    images: str = "images"
    datalist: str = "datalist.json"

    def prepare(self, patients: int = 24, prefix: str = "p", first: int = 0, mark: int = 0) -> Hospital:
        """Two pictures of each patient; ``mark`` changes the files and nothing that can be seen."""
        (self.folder / self.images).mkdir(parents=True, exist_ok=True)
        listed: dict[str, list[dict[str, str]]] = {"training": [], "validation": [], "test": []}
        for kind in ("red", "green"):
            for i in range(first, first + 2 * patients):
                file = f"{self.images}/{prefix}{kind}{i:03d}.png"
                Image.fromarray(square(kind, i, size=12)).save(self.folder / file, compress_level=9 - mark)
                listed["training"].append(
                    {"image": file, "label": kind, "patient": f"{prefix}{kind}{i // 2}"}
                )
        (self.folder / self.datalist).write_text(json.dumps(listed))
        return self

    def write(self, **changes: Any) -> Path:
        """The site's YAML, without a ledger: wherever this version keeps one."""
        values: dict[str, Any] = {
            "site": self.site,
            "bundle": "blood_cell_classification",
            "data": str(self.folder / self.datalist),
            "classes": ["red", "green"],
            "channels": 3,
            "spatial_size": [12, 12],
            "output_dir": str(self.folder / "results"),
            "untrusted_packages": "accept",
            "policy": {"epsilon": 1.0, "total_epsilon": 1.2, "minimum_patients": 2},
        }
        file = self.folder / f"{self.site}.yaml"
        file.write_text(yaml.safe_dump(values | changes))
        return file

    def answer(self, query: Path, out: Path, *words: str, **changes: Any) -> tuple[int, dict[str, Any]]:
        """The exit code, and what the answer tells of red; empty if nothing left."""
        shutil.rmtree(out, ignore_errors=True)
        again = ("--request", str(query), "--response_dir", str(out), "--yes", "true")
        code = run("run", "answer", str(self.write(**changes)), *again, *words)
        if not (out / "card.json").is_file():
            return code, {}
        told = json.loads((out / "card.json").read_text())["answers"][0]
        tensors = load_file(out / TENSORS) if (out / TENSORS).is_file() else {}
        return code, {**told, "numbers": {k: v.tolist() for k, v in tensors.items()}}

    def first(self, query: Path, out: Path, **changes: Any) -> dict[str, Any]:
        """The first answer ever, which every version gives; today's wants to be told that it is the first."""
        code, told = self.answer(query, out, *NEW, **changes)
        assert code == 0 and told["declined"] is None, told
        return told


NEW = ("--new_ledger", "true") if "new_ledger" in StageKeys.model_fields else ()
"""What begins a ledger in so many words, where a version asks for it."""
