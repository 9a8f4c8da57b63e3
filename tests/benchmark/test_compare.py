"""A small comparison from its config to its files, cut off and continued."""

import json

import pytest
import yaml
from conftest import ROOT, run

from clinical_qkt.benchmark import compare as module
from clinical_qkt.benchmark import results
from clinical_qkt.benchmark.config import read_config

REQUIRED = {
    "scenario", "seed", "student", "query", "method", "variant", "query_recall", "retained_recall",
    "forgetting_mean", "forgetting_worst", "query_recall_at_budget", "forgetting_at_budget", "auroc", "ece",
    "teachers_used", "bytes_received", "seconds",
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
            "ask": "relevant",
            "answers": "each",
            "start_from": "teacher",
            "max_epochs": 4,
        },
        "committee": {"method": "qkt"},
    }
    content["queries"] = 1
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


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
    assert {p.name for p in (out / "figures").iterdir()} == {"squares.png", "two.png", "masks.png"}


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
    assert "25.0 (10.0 to 40.0)" in "\n".join(results.margins(rows))
    assert results.margins([r for r in rows if r["variant"] != "distil"]) == []
