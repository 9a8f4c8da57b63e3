import json
import re

import pytest
from PIL import Image
from typer.testing import CliRunner

from clinical_qkt.documentation import example
from clinical_qkt.review.report import figures
from clinical_qkt.review.summary_schema import TransferSummary
from tests.conftest import ROOT

PAGE = ROOT / example.PAGE
SUMMARY = ROOT / example.SUMMARY


@pytest.fixture
def committed():
    return TransferSummary.model_validate_json(SUMMARY.read_bytes())


def test_every_figure_on_the_page_comes_from_the_summary_beside_it(committed):
    page = PAGE.read_text(encoding="utf-8")
    assert example.text(committed, page) == page
    # and outside the blocks no figure is typed by hand
    by_hand = re.sub(r"<!-- made by .*?<!-- end: \w+ -->", "", page, flags=re.S)
    assert re.findall(r"\d+", by_hand) == []


def test_the_readme_shows_what_the_terminal_does(committed):
    assert example.printed(committed) in (ROOT / example.README).read_text(encoding="utf-8")


def test_other_figures_make_another_page(committed):
    page = PAGE.read_text(encoding="utf-8")
    committed.after.per_class["basophil"].recall = 0.123
    assert "recognises basophil in 12 of 100 cases" in example.text(committed, page)


def test_the_summary_beside_it_holds_no_path_and_nothing_of_one_run_alone(committed):
    text = SUMMARY.read_text(encoding="utf-8").replace(committed.schema_, "")
    assert "/" not in text and "\\" not in text and committed.seconds == {}
    assert committed.identity.run_id == committed.identity.created == "" and committed.rule.used_since is None
    assert committed.data.generated


def test_the_pictures_are_small_and_described(committed):
    page = PAGE.read_text(encoding="utf-8")
    shown = re.findall(r"!\[([^\]]+)\]\(\.\./pictures/demo-(\w+)\.png\)", page)
    assert {name for _, name in shown} == set(example.SHOWN) == set(figures.drawn(committed, example.SHOWN))
    for told, name in shown:
        file = ROOT / example.PICTURES / f"demo-{name}.png"
        assert file.stat().st_size < 60_000 and len(told) > 60
        with Image.open(file) as picture:
            assert picture.width > 300


def test_the_command_writes_all_of_it(made, committed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in (example.PAGE.parent, example.PICTURES):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / example.PAGE).write_text(PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / example.README).write_text((ROOT / example.README).read_text(encoding="utf-8"))
    (tmp_path / "summary.json").write_text(json.dumps(made(query=("dog|",)).as_json()))
    example.main(tmp_path)
    text = (tmp_path / example.PAGE).read_text(encoding="utf-8")
    assert r"| dog\| (queried) | 30 |" in text and "basophil" not in text
    assert json.loads((tmp_path / example.SUMMARY).read_text())["seconds"] == {}
    assert len(list((tmp_path / example.PICTURES).glob("demo-*.png"))) == len(example.SHOWN)


def test_a_demo_without_models_is_refused(made, tmp_path):
    import typer

    (tmp_path / "summary.json").write_text(json.dumps(made(answers=True).as_json()))
    app = typer.Typer()
    app.command()(example.main)
    result = CliRunner().invoke(app, [str(tmp_path)])
    assert result.exit_code == 2 and "this one has none" in " ".join(result.output.split())
