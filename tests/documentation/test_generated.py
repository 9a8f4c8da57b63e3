"""The generated parts of the reference say what the code says."""

from __future__ import annotations

import json

import jsonschema
import pytest
import yaml

from clinical_qkt.documentation.reference import SITE_SCHEMA, bundle_keys, exit_codes, files, site_schema
from clinical_qkt.documentation.schema_tables import undescribed
from clinical_qkt.evidence.acceptance import Acceptance
from clinical_qkt.site.config import Site
from clinical_qkt.site.policy import Policy
from tests.conftest import CONFIGS, ROOT

GOOD = {"site": "hospital_a", "data": "d.json"}


def test_the_files_are_what_the_command_writes():
    for path, text in files(ROOT).items():
        again = "run `python -m clinical_qkt.documentation.reference` again"
        same = path.is_file() and path.read_text(encoding="utf-8") == text
        assert same, f"{path.relative_to(ROOT)}: {again}"


def test_every_key_says_what_it_means():
    assert list(undescribed(site_schema())) == []
    assert set(site_schema()["properties"]) == set(Site.model_fields)
    assert {"Policy", "Acceptance"} <= set(site_schema()["$defs"])
    assert set(site_schema()["$defs"]["Policy"]["properties"]) == set(Policy.model_fields)
    assert set(site_schema()["$defs"]["Acceptance"]["properties"]) == set(Acceptance.model_fields)


@pytest.fixture(scope="module")
def schema():
    made = json.loads((ROOT / SITE_SCHEMA).read_text())
    jsonschema.Draft202012Validator.check_schema(made)
    return made


def test_the_example_and_the_demos_sites_fit_the_schema(schema, demo):
    for path in (ROOT / "configs/sites/example.yaml", *demo.glob("sites/*.yaml")):
        jsonschema.validate(yaml.safe_load(path.read_text()), schema)


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"classes": ["a", {"name": "b", "merges": ["c", {"name": "d", "system": "s", "code": "1"}]}]},
        {"settings::divergence": "kl", "overwrite": True, "input": {"channels": 3}, "_note": "mine"},
        {"signing_key": None, "policy": {"kinds": ["mean"], "may_ask": ["hospital_b"]}},
    ],
)
def test_what_a_site_may_say_fits_the_schema(schema, more):
    jsonschema.validate({**GOOD, **more}, schema)


@pytest.mark.parametrize(
    "wrong",
    [
        {"site": None},
        {"site": "ward 3/x"},
        {"max_epoch": 3},
        {"classes": []},
        {"classes": [{"name": "a", "synonym": ["b"]}]},
        {"forgetting_budget": -1},
        {"policy": {"epsilonn": 1}},
        {"acceptance": {"query_recall": 101}},
        {"untrusted_packages": "maybe"},
    ],
)
def test_what_it_may_not_say_does_not(schema, wrong):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**GOOD, **wrong}, schema)


def test_a_key_that_is_left_out_is_set_by_the_bundle(schema):
    left_out = set(Site.model_fields) - set(schema["required"])
    assert set(schema["required"]) == set(GOOD)
    assert left_out <= set(bundle_keys(ROOT))


def test_every_exit_code_is_told():
    assert [int(row.split("|")[1]) for row in exit_codes().splitlines()[2:]] == [*range(6), 10, 11, 12]


def test_every_key_of_an_overlay_that_people_set_is_on_the_page():
    page = (ROOT / "docs/reference/command-line.md").read_text()
    assert not [p.stem for p in CONFIGS.glob("*_*.yaml") if f"`{p.stem}`" not in page]
    first = set(yaml.safe_load((CONFIGS / "train.yaml").read_text()))
    for name in ("train_private", "evaluate", "inference", "share", "query", "answer", "transfer"):
        content = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text())
        plain = {k for k, v in content.items() if isinstance(v, bool | int | float | None) or v == ""}
        mine = (plain | ({"model", "result", "response_dir", "settings"} & set(content))) - first
        assert not [k for k in mine if "::" not in k and f"`{k}`" not in page], name
