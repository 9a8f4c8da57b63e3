"""The pages of published comparisons: their figures are those of the rows beside them."""

import json

import pytest
import yaml

from clinical_qkt.core.errors import InputError
from clinical_qkt.documentation import comparison_pages as pages
from clinical_qkt.documentation.schema_tables import between_marks
from clinical_qkt.research.benchmark import gathered
from clinical_qkt.research.benchmark.compare import row_name
from clinical_qkt.research.benchmark.config import read_config
from clinical_qkt.research.benchmark.rows import FIGURES
from tests.conftest import ROOT

TREE = ROOT / gathered.PLACE


def row(variant, query="a", seed=3, recall=0.9, **figures):
    return {
        **dict.fromkeys(FIGURES, 0.5), "scenario": "single_class", "student": "x", "method": "statistics",
        "budget_state": "shown", "mean_kept_on_test": True, "worst_kept_on_test": True,
        "trade": [[0.0, 0.1, 0.0], [0.05, 0.9, 0.5]], "query_recall_at_budget": recall,
        "query_recall_at_oracle": 0.95, "forgetting_at_budget": 0.012, "bytes_received": 2e5,
        "seed": seed, "query": [query], "variant": variant, **figures,
    }  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    rows = [row("statistics"), row("statistics", "b", recall=1.0), row("local", recall=0.1)]
    content = {"data": "d", "generated": False, "rows": rows, "masks": [], "config": {"forgetting_budget": 2}}
    (tmp_path / "blood-cells.json").write_text(gathered.text(content))
    return tmp_path


def test_what_was_reached_stands_beside_what_was_wanted(folder):
    (line,) = pages.targets(pages.published(folder)).splitlines()[2:]
    reached = "95.0 (90.0 to 100.0) | 2.0 | 95.0 | 2.5 | 2 of 2 | 2 of 2"
    assert line == f"| blood cells, one class | statistics | 97 | {reached} |"


def test_methods_that_a_set_lacks_have_no_figure_there(folder):
    other = [row("fedprox")]
    found = {**pages.published(folder), ("cifar10", "single_class"): other}
    lines = pages.generality(found).splitlines()
    assert "| fedprox | – | 90.0 (90.0 to 90.0); 1 of 1 |" in lines


def test_fedprox_stands_beside_what_ours_did_on_the_same_queries(folder):
    theirs = {("blood-cells", "single_class"): [row("fedprox", "b", recall=0.4)]}
    told = pages.beside_fedprox(pages.published(folder), theirs)
    assert "| blood cells, one class | fedprox | 40.0" in told
    assert "| blood cells, one class | statistics | 100.0" in told  # without the other query, of 90
    lines = pages.generality(pages.published(folder), theirs).splitlines()
    assert "| fedprox | 40.0 (40.0 to 40.0); 1 of 1 |" in lines and lines[-1].startswith(
        "blood cells, one class: 2"
    )


def test_the_headline_tells_bytes_and_what_was_kept(folder):
    told = pages.headline(pages.published(folder)["blood-cells", "single_class"])
    assert "| 0.2 MB | 95.0 (90.0 to 100.0) | 50.0 (50.0 to 50.0) | 1.2 | 2 of 2 |" in told


def test_queries_that_some_method_has_not_answered_yet_are_left_out(tmp_path):
    path = tmp_path / "c.yaml"
    methods = {"local": {}, "statistics": {}}
    content = {"name": "c", "seeds": [3], "scenarios": [{"name": "single_class"}], "methods": methods}
    path.write_text(yaml.safe_dump(content))
    config = read_config(path)
    with pytest.raises(InputError, match="no query that every method"):
        gathered.gather(config, tmp_path, "d")
    for query, labels in (("x-1", methods), ("x-2", ["local"])):
        for label in labels:
            file = (
                tmp_path
                / "rows/single_class/seed_3"
                / query
                / row_name(config, config.scenarios[0], 3, label)
            )
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(row(label, query)))
    made = gathered.gather(config, tmp_path, "d")
    assert [(r["variant"], r["query"]) for r in made["rows"]] == [("local", ["x-1"]), ("statistics", ["x-1"])]
    gathered.main(path, tmp_path, "short", scenarios="single_class", place=tmp_path / "out", curves=False)
    short = json.loads((tmp_path / "out/short.json").read_text())["rows"]
    assert len(short) == 2 and all("trade" not in r for r in short)
    assert not (tmp_path / "out/short-single_class.png").exists()
    gathered.write(made, "set", tmp_path / "out")
    assert json.loads((tmp_path / "out/set.json").read_text())["rows"] == made["rows"]
    assert (tmp_path / "out/set-single_class.png").is_file()


@pytest.mark.skipif(not TREE.is_dir(), reason="no comparison is published in this tree")
def test_the_pages_are_what_the_published_rows_make_of_them():
    for path, made in pages.blocks(TREE).items():
        page = (ROOT / path).read_text(encoding="utf-8")
        for name, block in made.items():
            assert between_marks(page, pages.BY, name, block) == page, (path, name)
