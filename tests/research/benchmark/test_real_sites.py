"""Two laboratories' pictures as two sites."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from clinical_qkt.core.errors import InputError, QueryError
from clinical_qkt.research.benchmark import site_networks
from clinical_qkt.research.benchmark.cell_sizes import diameter, median_diameter
from clinical_qkt.research.benchmark.compare import compare
from clinical_qkt.research.benchmark.config import OtherSite, Scenario, read_config
from clinical_qkt.research.benchmark.federation import Federation
from clinical_qkt.research.benchmark.looks_figure import draw_looks
from clinical_qkt.research.benchmark.real_sites import two_sites
from clinical_qkt.research.contact_sheet import EDGE, MARGIN, PLACE
from tests.conftest import COLOURS, ROOT, square

DATA = Path(os.environ.get("CLINICAL_QKT_DATA", ROOT.parent / "shared" / "data"))
REAL = [DATA / name for name in ("pbc_blood_224", "chula_wbc_224")]
KINDS = list(COLOURS)
SLIDES = 4


def laboratory(folder: Path, kinds: list[str], count: int, start: int, slides: int = 0) -> Path:
    """A folder of squares of 40 pixels; with slides a table says which picture is of which."""
    lines = ["image,label,slide"]
    for kind in kinds:
        (folder / kind).mkdir(parents=True)
        for i in range(count):
            Image.fromarray(square(kind, start + i, 40)).save(folder / kind / f"{i:02d}.png")
            lines.append(f"{kind}/{i:02d}.png,{kind},{kind}-{i % slides if slides else i}")
    if slides:
        (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    place = tmp_path_factory.mktemp("laboratories")
    first = laboratory(place / "first", KINDS[:4], 12, 0)
    laboratory(place / "second", KINDS[1:], 12, 100, SLIDES)
    return first


SECOND = OtherSite(data=Path("second"), side=20)


@pytest.fixture(scope="module")
def both(folders):
    return two_sites(folders, SECOND, 2500, 3)


def test_both_give_the_classes_that_both_have_and_each_picture_is_known_by_its_laboratory(both):
    source, of_site = both
    assert source.classes.names == sorted(KINDS[1:4]) and source.name == "first and second"
    assert source.images.shape == (72, 20, 20, 3) and of_site.tolist() == [0] * 36 + [1] * 36
    name = source.classes.names[0]
    areas = square(name, 100, 40).reshape(20, 2, 20, 2, 3).mean((1, 3))
    assert np.abs(source.images[36] - areas).max() < 1.1
    for section, least in (("training", 6), ("validation", 1), ("test", 2)):
        positions = source.splits[section]
        for site in (0, 1):
            counts = np.bincount(source.labels[positions[of_site[positions] == site]], minlength=3)
            assert counts.min() >= least


def test_a_slides_pictures_stay_together(both):
    source, of_site = both
    slides = np.arange(36) % 12 % SLIDES + SLIDES * source.labels[36:]
    for first in source.splits:
        for other in source.splits:
            if first != other:
                mine, theirs = (
                    {int(slides[i - 36]) for i in source.splits[s] if of_site[i] == 1} for s in (first, other)
                )
                assert not mine & theirs


def test_a_site_trains_and_is_tested_on_pictures_of_its_own_laboratory(both, tmp_path, monkeypatch):
    source, of_site = both
    monkeypatch.setattr(site_networks, "train", lambda network, *_, **__: network)
    monkeypatch.setattr(Federation, "_held_out", lambda *_: None)
    scenario = Scenario(
        name="s", sites=2, classes_per_site=[2], other_site=SECOND, student="hospital_2", max_epochs=1
    )
    made = Federation(source, scenario, 1, torch.device("cpu"), tmp_path, of_site)
    made.probed = []
    asks = made.queries(9)
    assert asks and {ask.student for ask in asks} == {1}
    case = made.case(asks[0])
    assert {of_site[i["position"]] for i in (*case.training, *case.validation)} == {1}
    assert {of_site[i["position"]] for i in made.test_items(asks[0])} == {1}
    assert {int(i["label"]) for i in made.test_items(asks[0])} == {0, 1, 2}
    assert {of_site[i["position"]] for i in case.federation()[1].training} == {0}
    with pytest.raises(QueryError, match="how another laboratory's images would look"):
        case.in_own_look()
    draw_looks(made, tmp_path / "looks.png")
    with Image.open(tmp_path / "looks.png") as sheet:
        assert sheet.size == (MARGIN + 3 * PLACE + EDGE, MARGIN + 2 * PLACE)


@pytest.mark.parametrize(("magnified", "found"), [(0.75, 15), (2.0, 40), (1.25, 25)])
def test_what_pictures_show_is_enlarged_by_the_factor(tmp_path, magnified, found):
    for folder in ("a", "b"):
        for kind in "xyz":
            (tmp_path / folder / kind).mkdir(parents=True)
            for i in range(10):
                picture = np.zeros((80, 80, 3), dtype=np.uint8)
                picture[30:50, 30:50] = 255 - i
                Image.fromarray(picture).save(tmp_path / folder / kind / f"{i}.png")
    source, _ = two_sites(tmp_path / "a", OtherSite(data=Path("b"), magnified=magnified, side=80), 99, 0)
    sides = [np.sqrt((source.images[i, ..., 0] / 255.0).sum()) for i in (0, 30)]
    assert sides == pytest.approx([20, found], abs=0.1)


def test_folders_without_classes_in_common_are_refused(folders, tmp_path):
    (tmp_path / "other" / "a").mkdir(parents=True)
    with pytest.raises(InputError, match="0 classes in common"):
        two_sites(folders, OtherSite(data=tmp_path / "other"), 99, 0)
    with pytest.raises(InputError, match="is no folder"):
        two_sites(folders, OtherSite(data=tmp_path / "none"), 99, 0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "give 'sites: 2'"),
        ({"sites": 2, "queried_images": 3}, "leave 'queried_images' out"),
        ({"sites": 2, "student": "hospital_3"}, "no 'hospital_3' among 2 sites"),
        ({"sites": 2, "student": "pbc"}, "student"),
    ],
)
def test_a_scenario_of_two_laboratories_that_does_not_fit_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        Scenario(name="x", other_site=SECOND, **changes)


def test_without_data_there_is_no_first_laboratory(tmp_path, console):
    with pytest.raises(InputError, match="no pictures of the first site"):
        compare(read_config(ROOT / "configs" / "benchmarks" / "shift_real.yaml"), tmp_path, console)


def test_a_nucleus_is_measured_at_the_centre_and_not_where_a_crop_reached_over_the_edge():
    rows, columns = np.mgrid[:56, :56] - 27.5
    picture = np.full((56, 56, 3), 220, dtype=np.uint8)
    picture[np.hypot(rows, columns) < 20] = 150  # cytoplasm
    picture[np.hypot(rows, columns) < 12] = 60
    picture[np.hypot(rows - 22, columns - 22) < 5] = 60  # another cell's
    picture[:6] = 0
    assert diameter(picture) == pytest.approx(24 / 56, abs=0.03)
    assert diameter(np.full((56, 56, 3), 90, dtype=np.uint8)) is None


@pytest.mark.slow
def test_the_factor_of_the_config_is_what_the_command_measures():
    missing = next((folder.name for folder in REAL if not folder.is_dir()), None)
    if missing:
        pytest.skip(f"{missing} is not there; set CLINICAL_QKT_DATA to the folder that holds it")
    config = read_config(ROOT / "configs" / "benchmarks" / "shift_real.yaml", data=REAL[0])
    other = config.scenarios[0].other_site
    assert other is not None and all(s.other_site == other for s in config.scenarios)
    sample = [sorted(folder.glob("*/*.jpg")) for folder in REAL]
    source, of_site = two_sites(REAL[0], other, 100, 3)
    assert len(source.classes) == 5 and set(of_site) == {0, 1}
    ratios = []
    for name in source.classes.names:
        here, there = (median_diameter([p for p in found if p.parent.name == name][:60]) for found in sample)
        ratios.append(here / there)
    assert np.exp(np.mean(np.log(ratios))) == pytest.approx(other.magnified, abs=0.05)
