"""What one more image takes follows from so many and twice as many; the pictures are two sites'."""

from __future__ import annotations

import json
import re

import pytest
from PIL import Image

from clinical_qkt.core.errors import OutputError
from clinical_qkt.research.benchmark import scale
from tests.conftest import ROOT


def test_the_table_extends_what_one_more_image_takes_to_twenty_thousand():
    at = {"200": {"peak_mb": 600.0, "seconds": 10.0}, "400": {"peak_mb": 620.0, "seconds": 30.0}}
    still = {"200": {"peak_mb": 600.0, "seconds": 10.0}, "400": {"peak_mb": 590.0, "seconds": 10.0}}
    rows = scale.table({"images": 200, "stages": {"train": at, "answer": still}}).splitlines()
    assert rows[2] == "| train | 600 | 620 | 0.100 | 2.6 | 10.0 |"
    assert rows[3] == "| answer | 600 | 590 | 0.000 | 0.6 | no more time |"


def test_nothing_is_extended_from_fewer_images_than_fill_batches():
    at = {"40": {"peak_mb": 600.0, "seconds": 10.0}, "80": {"peak_mb": 700.0, "seconds": 20.0}}
    assert "| 2.500 | too few | 4.0 |" in scale.table({"images": 40, "stages": {"train": at}})


def test_of_so_many_images_alone_what_they_took_is_told_as_far_as_it_was_measured():
    found = {
        "images": 20_000,
        "stages": {"train": {"20000": {"peak_mb": 1240.0, "seconds": 1200.0}}, "query": {}},
    }
    assert scale.table(found).splitlines()[2:] == ["| train | 1.2 | 20.0 | 16.7 |"]


def test_a_run_goes_on_after_the_last_stage_that_was_measured(tmp_path, monkeypatch):
    done: list[str] = []

    def run(words, folder):
        done.append(next(w for w in words if w != "run"))
        return {"peak_mb": 1.0, "seconds": 1.0}

    monkeypatch.setattr(scale, "run", run)
    monkeypatch.setattr(scale, "draw", lambda folder, *_: (done.append("draw"), folder.mkdir()))
    options = {"images": 40, "out": tmp_path, "once": True}
    cut = scale.measure([40], scale.Setting(512, "efficientnet_small", "disk"), tmp_path)
    told = [next(cut), next(cut)][-1]
    (tmp_path / scale.FIGURES).write_text(json.dumps(told))
    (tmp_path / "run_40/prepared_2").mkdir()
    (tmp_path / "run_40/prepared_2/site.yaml").touch()
    assert done == ["draw", "prepare", "prepare", "train"]
    done.clear()
    scale.main(**options, go_on=True)
    assert done == ["query", "answer", "transfer"] * 2
    with pytest.raises(OutputError, match="was measured with other options"):
        scale.main(**options, go_on=True, pixels=64)
    done.clear()
    scale.main(**options)
    assert done[0] == "draw"  # without the word it begins anew


@pytest.mark.parametrize("name", ["scale_224.json", "scale_512.json", "scale_20000.json"])
def test_the_page_shows_what_the_file_holds(name):
    page = (ROOT / "docs/results/scale.md").read_text()
    file = ROOT / "docs/results" / name
    shown = re.search(rf"<!-- made by \S+: {file.name} -->\n(.*?)\n<!-- end", page, re.S)
    assert shown and shown[1] == scale.table(json.loads(file.read_text()))


def test_each_site_has_half_of_its_pictures_of_each_of_its_classes(tmp_path):
    scale.draw(tmp_path, 6, 32)
    found = {str(p.relative_to(tmp_path)): len(list(p.iterdir())) for p in tmp_path.glob("*/*")}
    assert found == {"drawn_1/a": 3, "drawn_1/b": 3, "drawn_2/b": 3, "drawn_2/c": 3}
    assert Image.open(next(tmp_path.glob("drawn_1/a/*"))).size == (32, 32)


def test_a_folder_of_somebody_else_is_not_emptied(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match="not this benchmark's"):
        scale.main(out=tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "mine"
