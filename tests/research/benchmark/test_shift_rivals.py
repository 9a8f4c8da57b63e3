"""Others' remedies are compared on the scenarios on which ours are."""

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
