"""A small comparison from its config to its files, cut off and continued."""

import json

import pytest
import yaml

from clinical_qkt.research.benchmark import compare as module
from clinical_qkt.research.benchmark import curves, results, tables
from clinical_qkt.research.benchmark.config import read_config
from clinical_qkt.research.benchmark.rows import FIGURES
from tests.conftest import ROOT, run

REQUIRED = {
    "scenario", "seed", "student", "query", "method", "variant", "query_recall", "retained_recall",
    "forgetting_mean", "forgetting_worst", "query_recall_at_budget", "forgetting_at_budget", "auroc", "ece",
    "teachers_used", "bytes_received", "seconds", "budget_state", "query_recall_at_oracle", "trade",
}  # fmt: skip


@pytest.fixture
def config(tmp_path, npz):
    content = yaml.safe_load((ROOT / "configs" / "benchmarks" / "quick.yaml").read_text())
    content["scenarios"] = [
        {"name": "squares", "sites": 3, "classes_per_site": [3], "max_epochs": 6},
        {"name": "two", "sites": 3, "classes_per_site": [3], "max_epochs": 6, "query_size": 2},
    ]
    content["methods"] = {
        "local": {},
        "masked_ensemble": {"method": "ensemble", "masked": True},
        "distil": {
            "method": "qkt",
            "variant": "distil",
            "participants": "relevant",
            "soft_targets": "each",
            "start_from": "teacher",
            "max_epochs": 4,
        },
        "committee": {"method": "qkt"},
    }
    content["curves"] = [
        {"name": "cost", "x": "bytes_received", "label": "bytes received", "methods": ["local", "committee"]}
    ]
    content["queries"] = 1
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.mark.slow
def test_a_comparison_writes_rows_tables_and_figures_and_goes_on_after_a_stop(
    config, npz, tmp_path, console, monkeypatch
):
    out = tmp_path / "out"
    row, done = module._row, []

    def stopped(*arguments):
        if len(done) == 4:
            raise KeyboardInterrupt
        done.append(row(*arguments))
        return done[-1]

    monkeypatch.setattr(module, "_row", stopped)
    with pytest.raises(KeyboardInterrupt):
        module.compare(read_config(config, data=npz), out, console)
    assert not (out / "results.json").exists()
    monkeypatch.setattr(module, "_row", lambda *a: done.append(row(*a)) or done[-1])
    assert run("benchmark", str(config), "--data", str(npz), "--out", str(out)) == 0
    content = json.loads((out / "results.json").read_text())
    assert content["rows"] == done and len(done) == 8  # none was made twice
    assert all(set(r) >= REQUIRED for r in done)
    assert {len(r["query"]) for r in done} == {1, 2}
    assert {"kind", "lambda", "precision", "recall", "f1"} <= set(content["masks"][0])
    local = [r for r in done if r["variant"] == "local"]
    assert all(r["query_recall"] == 0 and r["forgetting_mean"] == 0 and r["budget_kept"] for r in local)
    table = (out / "results.md").read_text()
    assert "| distil |" in table and "Knowledge masks" in table
    assert "Curve cost" in table and content["settings"]["distil"]["batch_size"] == 64
    figures = {p.name for p in (out / "figures").iterdir()}
    assert figures == {"squares.png", "two.png", "masks.png", "cost.png"}


def test_an_unknown_method_ends_with_exit_code_2_and_names_it(config, npz, tmp_path, capsys):
    assert run("benchmark", str(config), "--methods", "distal", "--out", str(tmp_path / "o")) == 2
    assert "distil" in capsys.readouterr().err


def test_masks_are_pooled_over_models():
    masks = [{"scores": [0.9, 0.2, 0.0], "truth": [True, True, False]}, {"scores": [0.6], "truth": [False]}]
    low, high = results.pool_masks(masks, [0.1, 0.5])
    assert low["recall"] == 1 and low["precision"] == pytest.approx(2 / 3)
    assert high["recall"] == 0.5 and high["precision"] == 0.5


def test_the_margin_is_paired_query_by_query():
    rows = [
        {"seed": 0, "student": "a", "query": [q], "variant": v, "method": m, "query_recall_at_budget": r}
        for q, ours, theirs in (("x", 0.9, 0.5), ("y", 0.5, 0.4))
        for v, m, r in (("distil", "qkt", ours), ("distill_all", "distill", theirs))
    ]
    assert "25.0 (10.0 to 40.0)" in "\n".join(tables.margins(rows))
    assert tables.margins([r for r in rows if r["variant"] != "distil"]) == []


def row(query, seed=3, variant="ours", **figures):
    given = {
        **dict.fromkeys(FIGURES, 0.5), "scenario": "one", "student": "x", "method": "statistics",
        "budget_state": "shown", "mean_kept_on_test": True, "worst_kept_on_test": True,
        "query_recall_at_budget": 0.8, "query_recall_at_oracle": 0.9, "forgetting_worst_at_budget": 0.03,
        "trade": [[-0.01, 0.5, 0.0], [0.01, 0.8, 0.02], [0.09, 0.9, 0.4]],
    }  # fmt: skip
    return {**given, "seed": seed, "query": [query], "variant": variant, **figures}


def told(rows, heading):
    """The lines of one table."""
    content = {"data": "d", "generated": False, "rows": rows, "masks": [], "config": {"forgetting_budget": 2}}
    part = tables.tables(content).split(f"### {heading}\n")[1].split("\n#")[0]
    return [line for line in part.splitlines() if line.startswith("| ours")]


def test_what_is_left_on_the_table_counts_no_query_in_which_the_rule_was_lucky():
    rows = [row("a"), row("b", query_recall_at_oracle=0.6)]
    (line,) = told(rows, "At the budget")
    assert "| 80.0 (80.0 to 80.0) | 5.0 |" in line


def test_promises_are_counted_beside_what_was_kept_on_test():
    rows = [
        row("a"),
        row("b", mean_kept_on_test=False, budget_state="estimated"),
        row("c", worst_kept_on_test=False, mean_kept_on_test=False, budget_state="not kept"),
    ]
    (line,) = told(rows, "At the budget")
    assert line.endswith("| 3.0 | 1 of 3 | 2 of 3 | 1 / 1 / 1 |")


def test_means_by_seed_stand_beside_those_over_queries():
    rows = [row("a"), row("b", seed=4, query_recall_at_budget=0.2), row("c", seed=4)]
    assert told(rows, "Query recall at the budget, by seed") == ["| ours | 80.0 | 50.0 |"]


def test_what_was_refused_throughout_has_a_line():
    rows = [row("a", variant="other"), {**row("a"), **dict.fromkeys(FIGURES)}]
    assert [told(rows, h)[0].split(" | ")[1] for h in ("At the budget", "No budget")] == ["refused"] * 2


def test_a_method_is_drawn_as_a_line_along_its_biases_with_a_point_at_the_budget():
    rows = [row("a"), row("b"), row("a", variant="old", trade=None)]
    axis = results.draw_trade(rows, "one", 2.0).axes[0]
    lines = [line for line in axis.lines if len(line.get_xdata()) == 3]
    assert [line.get_xdata().tolist() for line in lines] == [pytest.approx([-1, 1, 9])]
    assert lines[0].get_ydata().tolist() == pytest.approx([50, 80, 90])
    assert [c.get_label() for c in axis.collections] == ["ours", "old"]


def curve(x="epsilon", **changes):
    return {"name": "c", "x": x, "log": False, "label": "so much", "methods": ["b", "a", "none"], **changes}


@pytest.fixture
def content():
    """Two methods that differ by epsilon in two scenarios, and one that was always refused."""
    rows = [
        {**dict.fromkeys(FIGURES, 0.5), "scenario": s, "seed": 0, "student": "x", "query": [q],
         "method": "statistics", "variant": v, "budget_kept": True, "bytes_received": received,
         "query_recall_at_budget": recall + 0.1 * (q == "z"), "forgetting_at_budget": 0.015}
        for s in ("one", "two") for q in ("y", "z")
        for v, recall, received in (("b", 0.8, 100), ("a", 0.4, 9000))
    ]  # fmt: skip
    refused = {**rows[0], **dict.fromkeys(FIGURES), "variant": "none"}
    return {
        "data": "made up", "generated": True, "rows": [*rows, refused, {**refused, "scenario": "two"}],
        "masks": results.pool_masks([{"scores": [0.9, 0.1], "truth": [True, False]}], [0.5]),
        "settings": {
            "a": {"epsilon": 0.5, "depths": ["x"]},
            "b": {"epsilon": 2, "depths": ["x", "y"]},
            "none": {"epsilon": 0.1, "depths": None},
        },
        "config": {"forgetting_budget": 2.0, "curves": [curve()]},
    }  # fmt: skip


def test_a_single_method_is_drawn_too():
    axis = results.draw_trade([row("a"), row("b")], "one", 2.0).axes[0]
    assert axis.get_legend_handles_labels()[1] == ["ours"]


def test_a_curve_is_sorted_by_x_within_a_scenario(content):
    found = curves.curve_points(content, curve())
    assert [(p["scenario"], p["x"], p["variant"]) for p in found] == [
        ("one", 0.5, "a"), ("one", 2, "b"), ("two", 0.5, "a"), ("two", 2, "b")
    ]  # fmt: skip
    assert found[1]["recall"] == pytest.approx([80, 90]) and found[1]["forgotten"] == pytest.approx(
        [1.5, 1.5]
    )
    assert [p["x"] for p in curves.curve_points(content, curve("bytes_received"))] == [100, 9000] * 2
    words = curves.curve_points(content, curve("depths"))
    assert [p["x"] for p in words] == ["x + y", "x"] * 2  # no number: in the order of the methods


def test_a_curve_is_written_as_a_figure_and_a_table(content, tmp_path):
    content["config"]["curves"].append(curve("bytes_received", name="cost", log=True))
    results.write(content, tmp_path)
    table = (tmp_path / "results.md").read_text().split("## Curve c: ")[1].split("##")[0]
    alarms = "50.0 (50.0 to 50.0)"
    assert f"| one | 2 | b | 85.0 (80.0 to 90.0) | {alarms} | 1.5 (1.5 to 1.5) | 0 of 2 |" in table
    assert "| two | | none | refused | | | all |" in table
    assert {"c.png", "cost.png"} <= {p.name for p in (tmp_path / "figures").iterdir()}
    # Results from before false alarms were measured, or before there were curves, are still told.
    for row in content["rows"]:
        del row["false_alarms_at_budget"]
        del row["query_recall_at_oracle"], row["mean_kept_on_test"], row["worst_kept_on_test"]
    older = tables.tables(content)
    assert "| 85.0 (80.0 to 90.0) | – | 1.5" in older and "| – | – | 2 of 2 kept |" in older
    del content["config"]["curves"]
    assert "Curve" not in tables.tables(content)


def test_a_measured_x_is_drawn_as_points_with_names_a_set_one_as_lines(content):
    def drawn(**how):
        axis = curves.draw_curve(curves.curve_points(content, curve(**how)), curve(**how)).axes[0]
        return axis, [line.get_linestyle() for line in axis.lines if len(line.get_xdata()) == 2]

    axis, styles = drawn(x="epsilon", log=True)
    assert axis.get_xscale() == "log" and axis.get_xlabel() == "so much" and "-" in styles
    assert [t.get_text() for t in axis.get_xticklabels()] == ["0.5", "2"]
    assert not axis.texts and len(axis.get_legend().get_texts()) == 2
    axis, styles = drawn(x="bytes_received")
    assert [t.get_text() for t in axis.texts] == ["b", "a"] * 2 and "-" not in styles
    axis, styles = drawn(x="depths")
    assert "-" not in styles and [t.get_text() for t in axis.get_xticklabels()] == ["x + y", "x"]
