"""From an archive of unlabelled images to figures: as the how-to says, and what is refused on the way."""

from __future__ import annotations

import csv
import json
import re
import shutil
import stat
from pathlib import Path

import pytest
import yaml
from PIL import Image

from clinical_qkt.core.errors import OutputError
from clinical_qkt.data.datalist import parse_datalist
from clinical_qkt.worklist.command import claim
from tests.conftest import COLOURS, ROOT, run, square
from tests.documented import commands

HOW_TO = ROOT / "docs" / "how-to" / "find-images-to-label.md"
EACH = {"red": 40, "green": 30, "blue": 20, "yellow": 20, "violet": 10}
"""Images of the archive, by what they show."""


@pytest.fixture(scope="module")
def asks(demo: Path) -> Path:
    """The YAML of the site that asked for a class."""
    return next(
        p for p in sorted((demo / "sites").glob("*.yaml")) if yaml.safe_load(p.read_text()).get("query")
    )


@pytest.fixture(scope="module")
def archive(asks: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Unlabelled images in folders by day, among them a broken one and some that the model was trained on."""
    folder = tmp_path_factory.mktemp("archive")
    for day, (kind, count) in enumerate(EACH.items()):
        (folder / f"day {day}").mkdir()
        for i in range(count):
            Image.fromarray(square(kind, 9000 + i)).save(folder / f"day {day}" / f"{i:03d}.png")
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    Image.fromarray(square("red", 8000)).save(folder / "a;=1+1.png")
    data = Path(yaml.safe_load(asks.read_text())["data"])
    for i, entry in enumerate(parse_datalist(data).training[:5]):
        shutil.copy(data.parent / entry.image, folder / f"seen_{i}.png")
    return folder


def fill(table: Path, known: list[str]) -> None:
    """What a person would write who sees what the images show; semicolons, as some spreadsheets save them."""
    with table.open(encoding="utf-8-sig", newline="") as f:
        rows = list(csv.DictReader(f))
    kinds = list(EACH)
    for row in rows:
        kind = kinds[int(re.search(r"day (\d)", row["file"])[1])]
        row["label"] = kind if kind in known else "none of these"
    with table.open("w", encoding="utf-8", newline="") as f:
        lines = csv.DictWriter(f, ["number", "file", "label"], delimiter=";")
        lines.writeheader()
        lines.writerows(rows)


def from_the_how_to(number: int, **replaced: str) -> list[str]:
    """The arguments of one of the page's two commands."""
    told = [line for line in commands(HOW_TO.read_text()) if line.startswith("clinical-qkt worklist")]
    assert len(told) == 2
    return [replaced.get(word.split("/")[-1].split(".")[0], word) for word in told[number].split()[1:]]


@pytest.fixture(scope="module")
def drawn(asks: Path, archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a list of 60 images."""
    out = tmp_path_factory.mktemp("list")
    words = from_the_how_to(0, hospital_3=str(asks), ARCHIVE=str(archive))
    assert run(*words, "--out", str(out), "--count", "60") == 0
    return out


def test_the_how_to_runs_as_it_stands(asks, archive, drawn, capsys):
    site = yaml.safe_load(asks.read_text())
    (query,) = site["query"]
    fill(drawn / "worklist.csv", [*site["classes"], query])
    words = from_the_how_to(1, hospital_3=str(asks), worklist=str(drawn), ARCHIVE=str(archive))
    assert run(*words) == 0
    told = json.loads((drawn / "worklist-result.json").read_text())
    share, (low, high) = EACH[query] / 120, told["classes"][query]["prevalence"]["ci95"]
    assert told["schema"] == "clinical-qkt/worklist-result/1" and low <= share <= high
    assert (told["images"], told["labels"]) == (120, 60)
    assert told["left_out"].pop("is among the images that the site's models were trained or chosen on") == 5
    assert told["left_out"].pop("its name would be a formula in a spreadsheet") == 1
    assert list(told["left_out"].values()) == [1]
    assert f"of 100 images of {query}" in " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert run(*words) == 5 and "there is a result already" in capsys.readouterr().err


def test_labelling_is_blind_and_what_is_written_names_no_path_of_the_machine(archive, drawn):
    page = (drawn / "worklist.html").read_text()
    visible = re.sub(r"base64,[^\"]+", "", page).split("</style>")[1].split("<footer>")[0]
    assert visible.count("<img") == 60 and "day " not in visible and "http" not in page.split("base64")[0]
    assert "“none of these”: it shows something else" in visible
    assert not re.search(r"\d\.\d|probab|score|%", visible)
    for file in drawn.iterdir():
        assert str(archive) not in file.read_text(encoding="utf-8-sig")
        if "result" not in file.name:  # which has no line for an image
            assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_list_with_labels_is_not_replaced_unless_told_so(tmp_path):
    for name in ("worklist.html", "worklist-2.html"):  # of a list that was never finished
        (tmp_path / name).touch()
    claim(tmp_path, overwrite=False)
    assert not list(tmp_path.iterdir())
    (tmp_path / "worklist.csv").write_text("number,file,label")
    with pytest.raises(OutputError, match="holds a list already"):
        claim(tmp_path, overwrite=False)
    (tmp_path / "notes.txt").touch()
    with pytest.raises(OutputError, match="holds files that are no list"):
        claim(tmp_path, overwrite=True)
    (tmp_path / "notes.txt").unlink()
    claim(tmp_path, overwrite=True)
    assert not list(tmp_path.iterdir())


def test_a_site_without_a_model_or_a_model_without_the_class_is_refused(
    demo, asks, archive, tmp_path, capsys
):
    options = ("worklist", str(asks), "--images", str(archive), "--count", "20", "--out", str(tmp_path / "l"))
    own = Path(yaml.safe_load(asks.read_text())["output_dir"]) / "model"
    assert run(*options, "--model", str(own)) == 2 and "does not know" in capsys.readouterr().err
    assert run(*options, "--model", str(tmp_path)) == 2 and "there is no model" in capsys.readouterr().err
    assert not (tmp_path / "l").exists() or not list((tmp_path / "l").iterdir())


@pytest.mark.parametrize("options", [("--images", "none"), ("--images", ".", "--count", "3")])
def test_what_cannot_be_is_refused_before_anything_is_loaded(asks, options, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("worklist", str(asks), "--count", "20", *options) == 2


def test_every_colour_has_a_folder():
    assert list(EACH) == list(COLOURS)


def test_labels_are_not_lost_to_a_list_that_cannot_be_drawn(asks, tmp_path, capsys):
    (tmp_path / "list").mkdir()
    (tmp_path / "list" / "worklist.csv").write_text("labels of two days")
    (tmp_path / "empty").mkdir()
    asked = ("worklist", str(asks), "--count", "20", "--images", str(tmp_path / "empty"))
    assert run(*asked, "--out", str(tmp_path / "list"), "--overwrite") == 2
    assert "holds no images" in capsys.readouterr().err
    assert (tmp_path / "list" / "worklist.csv").read_text() == "labels of two days"
