"""Others' remedies are compared on the scenarios on which ours are."""

import pytest
import yaml

from clinical_qkt.research.benchmark.compare import compare
from clinical_qkt.research.benchmark.config import read_config
from clinical_qkt.research.methods import METHODS
from tests.conftest import ROOT


def test_the_rivals_config_has_the_scenarios_queries_and_seeds_of_ours():
    ours, rivals = (read_config(ROOT / f"configs/benchmarks/{n}.yaml") for n in ("shift", "shift_rivals"))
    assert ours.scenarios == rivals.scenarios and ours.seeds == rivals.seeds
    assert (ours.queries, ours.promise) == (rivals.queries, rivals.promise)
    for label in ("local", "statistics", "committee"):  # whose rows are shared
        assert ours.settings(label) == rivals.settings(label)


def test_every_remedy_of_others_is_in_the_config():
    config = read_config(ROOT / "configs/benchmarks/shift_rivals.yaml")
    used = [config.settings(label) for label in config.methods]
    named = {"coral", "slot_align", "adabn", "adabn_committee", "ggeur"}
    assert named < {name for name, _ in used} <= set(METHODS)
    assert {s.keep for name, s in used if name == "fedavg"} == {"none", "norms", "norm_statistics"}


@pytest.mark.slow
def test_every_remedy_spends_the_budget_with_and_without_looks(npz, tmp_path, console):
    content = yaml.safe_load((ROOT / "configs/benchmarks/shift_rivals.yaml").read_text())
    squares = {"sites": 3, "classes_per_site": [3], "max_epochs": 2}
    content["scenarios"] = [{"name": level, "shift": level, **squares} for level in ("none", "strong")]
    content |= {"seeds": [1], "queries": 1}
    kept = {"coral", "slot_align", "slot_align_shared", "adabn", "ggeur", "adabn_committee"}
    short = {"rounds": 1, "batch_size": 8}
    content["methods"] = {
        label: {**given, **(short if given.get("method") == "fedavg" else {"minimum_patients": 5})}
        for label, given in content["methods"].items()
        if label in kept - {"adabn_committee"} or given.get("keep")
    } | {"adabn_committee": {}}
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(content))
    rows = compare(read_config(path, data=npz), tmp_path / "out", console)["rows"]
    assert {(r["scenario"], r["variant"]) for r in rows} == {
        (level, label) for level in ("none", "strong") for label in (*kept, "fedbn", "silobn")
    }
    for row in rows:
        assert "refused" not in row and row["bytes_received"] > 0 and row["held_out_images"] > 0
        assert (row["cross_fitted_images"] > 0) == (row["method"] != "fedavg"), row["variant"]
