from pathlib import Path

import pytest
import yaml

from clinical_qkt.core.errors import InputError
from clinical_qkt.research.benchmark.config import only, read_config
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
