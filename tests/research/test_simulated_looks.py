"""The demo's hospitals with looks of their own."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from clinical_qkt.core.errors import InputError
from clinical_qkt.data.sources import open_source
from clinical_qkt.research import demo
from clinical_qkt.research.contact_sheet import EDGE, MARGIN, PLACE
from clinical_qkt.research.partitions import pathological
from clinical_qkt.research.shift import look_of
from clinical_qkt.research.simulated_looks import require_pictures
from clinical_qkt.research.simulated_sites import DemoSettings, ask, bundle_for, write_federation
from tests.conftest import run


def hospitals(source, out, **settings):
    """The demo's folder before anything is trained, and who asks."""
    given = DemoSettings(sites=3, classes_per_site=3, seed=1, bundle=bundle_for(source), **settings)
    dealt = pathological(len(source.classes), 3, 3, 1)
    asked = ask(given, source, dealt)
    write_federation(out, source, dealt, asked, given)
    return asked


def listed(out, site):
    """``(section, path from the datalist)`` of a hospital's images."""
    content = json.loads((out / "data" / f"{site}.json").read_text())
    return [(s, e["image"]) for s in ("training", "validation", "test") for e in content[s]]


def test_every_hospitals_pictures_are_in_its_look_and_a_sheet_shows_them(npz, tmp_path):
    source = open_source(npz)
    asked = hospitals(source, tmp_path, shift="medium")
    for number in range(3):
        site, look = f"hospital_{number + 1}", look_of(1, number, "medium")
        found = listed(tmp_path, site)
        assert {path.split("/")[-2] for _, path in found} == {site}
        for section in ("training", "validation", "test"):
            path = next(p for s, p in found if s == section)
            i = int(path.split("/")[-1].removesuffix(".png"))
            raw = torch.from_numpy(source.images[i].copy()).permute(2, 1, 0)
            with Image.open(tmp_path / "data" / path) as seen:
                assert np.array_equal(np.asarray(seen), look.of(raw[None], [i])[0].permute(2, 1, 0))
    student = {path for s, path in listed(tmp_path, f"hospital_{asked.student + 1}") if s == "test"}
    assert len(student) == 12 * 4  # of its three classes, and of the queried one
    with Image.open(tmp_path / "looks.png") as sheet:
        assert sheet.size == (MARGIN + 5 * PLACE + EDGE, MARGIN + 4 * PLACE)


def test_without_a_shift_all_hospitals_share_the_datas_pictures_and_the_mark_is_as_before(npz, tmp_path):
    hospitals(open_source(npz), tmp_path)
    assert {path.split("/")[-2] for _, path in listed(tmp_path, "hospital_1")} == {"images"}
    assert not (tmp_path / "looks.png").exists()
    assert "shift" not in DemoSettings().facts and DemoSettings(shift="mild").facts["shift"] == "mild"


def test_pictures_in_files_have_looks_too(folder, tmp_path):
    source = open_source(folder)
    hospitals(source, tmp_path, shift="strong")
    path = next(path for _, path in listed(tmp_path, "hospital_1"))
    with Image.open(tmp_path / "data" / path) as seen:
        assert seen.size == (20, 20) and seen.mode == "RGB"


def test_looks_of_other_images_than_pictures_are_refused(npz, tmp_path):
    scan = tmp_path / "scan.dcm"
    scan.write_bytes(b"\0" * 128 + b"DICM")
    with pytest.raises(InputError, match="for pictures alone") as refused:
        require_pictures(replace(open_source(npz), images=[scan]), "mild")
    assert str(scan) in str(refused.value)


def test_the_command_hands_the_shift_on(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(demo, "run_demo", lambda settings, *_, **__: seen.append(settings.shift))
    assert run("demo", "--out", str(tmp_path / "a")) == 0
    assert run("demo", "--shift", "strong", "--out", str(tmp_path / "a")) == 0
    assert seen == ["none", "strong"]
    assert run("demo", "--shift", "heavy", "--out", str(tmp_path / "a")) == 2
