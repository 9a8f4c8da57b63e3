"""What the YAML of the demo's hospitals says of images of a size."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from PIL import Image

from clinical_qkt.data.sources import open_source
from clinical_qkt.prepare import machine
from clinical_qkt.research.partitions import pathological
from clinical_qkt.research.simulated_sites import DemoSettings, ask, bundle_for, write_federation
from tests.conftest import COLOURS, square


def of_first_hospital(folder: Path, size: int) -> dict:
    """The YAML of a demo with 32 pictures of each class."""
    for kind in COLOURS:
        (folder / "images" / kind).mkdir(parents=True)
        for i in range(32):
            picture = Image.fromarray(square(kind, i)).resize((size, size), Image.Resampling.NEAREST)
            picture.save(folder / "images" / kind / f"{i:02d}.png")
    source = open_source(folder / "images")
    given = DemoSettings(sites=3, classes_per_site=3, seed=1, bundle=bundle_for(source))
    dealt = pathological(len(source.classes), 3, 3, 1)
    write_federation(folder / "out", source, dealt, ask(given, source, dealt), given)
    return yaml.safe_load((folder / "out/sites/hospital_1.yaml").read_text())


@pytest.mark.parametrize("size, batch", [(28, None), (240, 8)])
def test_large_pictures_have_a_batch_that_fits(tmp_path, size, batch):
    told = of_first_hospital(tmp_path, size)
    assert told.get("batch_size") == batch and (told.get("spatial_size") is None) == (batch is None)


def test_where_memory_is_short_it_is_smaller(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "room", lambda: 1.0)
    assert of_first_hospital(tmp_path, 240)["batch_size"] == 2
