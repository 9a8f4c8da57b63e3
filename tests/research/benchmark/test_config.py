from pathlib import Path

import numpy as np
import pytest
import yaml

from clinical_qkt.core.errors import InputError
from clinical_qkt.research.benchmark.compare import row_name
from clinical_qkt.research.benchmark.config import only, read_config
from clinical_qkt.research.benchmark.partition import shares_of, site_models
from clinical_qkt.research.benchmark.privacy.config import read_privacy_config
from tests.conftest import ROOT

QUICK = ROOT / "configs" / "benchmarks" / "quick.yaml"


def written(folder: Path, **changes) -> Path:
    content = yaml.safe_load(QUICK.read_text()) | changes
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


CONFIGS = sorted((ROOT / "configs" / "benchmarks").glob("*.yaml"))
COMPARISONS = [p for p in CONFIGS if not p.stem.startswith("privacy")]  # those are of another command


@pytest.mark.parametrize("path", [p for p in CONFIGS if p not in COMPARISONS], ids=lambda p: p.stem)
def test_every_config_of_attacks_is_valid(path):
    assert read_privacy_config(path).parts


@pytest.mark.parametrize("path", COMPARISONS, ids=lambda p: p.stem)
def test_every_config_of_the_repository_is_valid(path):
    assert read_config(path).methods


CURVE = {"name": "over_epsilon", "x": "epsilon", "label": "epsilon", "methods": ["private"]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"methods": {"distil": {"method": "qtk"}}}, "unknown method 'qtk'.*qkt"),
        ({"methods": {"fine_tune": {"max_epoch": 3}}}, "fine_tune: max_epoch"),
        ({"scenarios": [{"name": "a", "site": 4}]}, "scenarios.0.site"),
        ({"scenarios": [{"name": "a"}, {"name": "a"}]}, "same name"),
        ({"scenarios": [{"name": "a", "architecture": "resnet_smal"}]}, "resnet_small"),
        ({"quereis": 3}, "quereis"),
        ({"seeds": ["x"]}, "seeds.0"),
        ({"curves": [CURVE | {"methods": ["privat"]}]}, "curves.0.methods: no method 'privat'.*private"),
        ({"curves": [CURVE | {"x": "epsilom"}]}, "curves.0.x: 'epsilom'.*epsilon"),
        ({"curves": [CURVE | {"methods": ["private", "local"]}]}, "'epsilon' is no setting of 'local'"),
        ({"curves": [CURVE, CURVE]}, "curves.0.name: there is another figure"),
        ({"curves": [CURVE | {"name": "phantoms"}]}, "another figure 'phantoms'"),
        ({"curves": [CURVE | {"colour": "red"}]}, "curves.0.colour"),
    ],
)
def test_what_is_wrong_is_named_with_its_field(tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        read_config(written(tmp_path, **changes))


def test_a_file_that_is_no_config_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.yaml"):
        read_config(tmp_path / "none.yaml")
    (tmp_path / "list.yaml").write_text("- a")
    with pytest.raises(InputError, match="not a mapping"):
        read_config(tmp_path / "list.yaml")


def test_options_replace_fields_and_choose_methods():
    config = read_config(QUICK, seeds=["7"], queries=1)
    assert config.seeds == [7] and config.queries == 1
    assert list(only(config, ["distil", "local"]).methods) == ["distil", "local"]
    with pytest.raises(InputError, match="no method 'distill'"):
        only(config, ["distill"])


def test_curves_keep_those_methods_that_are_chosen(tmp_path):
    more = {"name": "cost", "x": "bytes_received", "label": "bytes", "methods": ["local", "private"]}
    config = read_config(written(tmp_path, curves=[CURVE, more]))
    assert [c.methods for c in only(config, ["private", "distil"]).curves] == [["private"], ["private"]]
    assert [c.name for c in only(config, ["local"]).curves] == ["cost"]
    assert only(config, None).curves == config.curves


def test_configs_that_share_a_scenarios_name_mean_the_same_by_it():
    found = {}
    for path in COMPARISONS:
        for scenario in read_config(path).scenarios:
            assert found.setdefault(scenario.name, scenario) == scenario, path.name


def test_a_scenario_without_later_keys_keeps_the_names_of_its_rows_and_site_models():
    config = read_config(ROOT / "configs" / "benchmarks" / "budget.yaml")
    names = {s.name: [row_name(config, s, 3, m) for m in ("local", "prototypes")] for s in config.scenarios}
    assert names == {  # written down on 26 November 2026, before scenarios had looks
        "single_class": ["local-69e41757896c.json", "prototypes-5809adece70e.json"],
        "three_classes": ["local-a8bdae4adf6b.json", "prototypes-9c49d4187265.json"],
    }
    held = [np.flatnonzero(row).tolist() for row in shares_of(config.scenarios[0], 8, 3)]
    for scenario in config.scenarios:
        assert site_models(scenario, 3, "pbc_blood_28", held) == "sites-92b8c96b96a4"


@pytest.mark.parametrize(
    "changes",
    [
        {"shift": "mild"},
        {"shift": "mild", "shift_parts": ["noise"]},
        {"training_looks": "strong"},
        {"mix_style": True},
    ],
)
def test_a_scenario_with_a_shift_or_another_training_has_rows_of_its_own(changes):
    config = read_config(QUICK)
    plain = config.scenarios[0]
    shifted = plain.model_validate(plain.model_dump() | changes)
    assert row_name(config, shifted, 3, "local") != row_name(config, plain, 3, "local")
    assert site_models(shifted, 3, "x", [[0, 1]]) != site_models(plain, 3, "x", [[0, 1]])
    assert plain.model_validate(shifted.model_dump()) == shifted


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shift": "heavy"}, "shift"),
        ({"shift_parts": ["noise"]}, "nothing differs with 'shift: none'"),
        ({"shift": "mild", "shift_parts": ["colour"]}, "shift_parts"),
        ({"shift": "mild", "shift_parts": []}, "shift_parts"),
    ],
)
def test_a_shift_that_means_nothing_is_refused_by_name(tmp_path, changes, message):
    path = written(tmp_path, scenarios=[{"name": "one", **changes}])
    with pytest.raises(InputError, match=message):
        read_config(path)
