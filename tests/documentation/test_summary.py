"""The published JSON Schema of a summary says what the model says, and summaries fit it."""

import json

import jsonschema
import numpy as np
import pytest

from clinical_qkt.core.errors import InputError
from clinical_qkt.documentation.schema_tables import undescribed
from clinical_qkt.documentation.summary import ANYWHERE, EVALUATION_FILE, FILE, MEANINGS, TOP, files, schema
from clinical_qkt.documentation.summary import published as published_as
from clinical_qkt.evidence import metrics
from clinical_qkt.review.comparison.reading import read_summary
from clinical_qkt.review.evaluation_file import SCHEMA as EVALUATION
from clinical_qkt.review.evaluation_file import EvaluatedModel, EvaluationFile
from clinical_qkt.review.summary_schema import SCHEMA
from tests.conftest import ROOT
from tests.review.report.conftest import made
from tests.review.report.evidence import with_parts


@pytest.fixture(scope="module")
def published():
    found = json.loads((ROOT / FILE).read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(found)
    return jsonschema.Draft202012Validator(found)


def test_the_schema_and_the_page_are_what_the_command_writes():
    for path, text in files(ROOT).items():
        same = path.read_text(encoding="utf-8") == text
        assert same, f"{path.relative_to(ROOT)}: run `python -m clinical_qkt.documentation.reference` again"


def test_every_field_says_what_it_means_once():
    described = schema()
    assert list(undescribed(described)) == list(undescribed(published_as(EvaluationFile, EVALUATION))) == []
    fields = {f"{part}.{name}" for part, name in _fields(described)}
    assert set(MEANINGS) <= fields and set(ANYWHERE) <= {name for _, name in _fields(described)}


def test_the_schema_names_its_version(published):
    told = published.schema
    assert told["title"] == SCHEMA and told["$id"] == "urn:clinical-qkt:transfer-summary:5"
    assert told["x-version"] == 5


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"answers": True, "queried_images": 6},
        {"images": 0},
        {"queried_images": 0},
        {"query": ("dog", "eel"), "patients": 9, "prevalence": 2.0, "date": "2026-11-01"},
    ],
)
def test_a_summary_that_the_code_makes_fits_the_schema(published, given):
    for summary in (made(**given), with_parts(made(**given))):
        published.validate(summary.as_json())


def test_an_evaluation_fits_its_schema():
    schema = json.loads((ROOT / EVALUATION_FILE).read_text(encoding="utf-8"))
    told = EvaluationFile(
        schema_=EVALUATION,
        command="evaluate",
        version="0",
        site="us",
        model=EvaluatedModel(weights_sha256="0" * 64, classes=["a", "b"]),
        per_class=metrics.per_class(np.eye(2)[[0, 0]], np.zeros(2, int), ["a", "b"]),
        recall=None,
    ).as_json()
    jsonschema.validate(told, schema)
    assert told["per_class"]["b"]["recall"] is None
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(told | {"recall": 1.5}, schema)


def test_keys_may_be_added_but_none_may_go_or_mean_something_else(published):
    told = made().as_json()
    published.validate(told | {"new": 1})
    for wrong in (
        {"schema": "clinical-qkt/transfer-summary/1"},
        {"verdict": "maybe"},
        {"after": {**told["after"], "query_recall": 1.5}},
    ):
        with pytest.raises(jsonschema.ValidationError):
            published.validate(told | wrong)
    del told["rule"]
    with pytest.raises(jsonschema.ValidationError, match="'rule' is a required property"):
        published.validate(told)


def test_a_summary_of_version_1_is_refused_by_name_with_the_way_out():
    old = made().as_json() | {"schema": "clinical-qkt/transfer-summary/1"}
    with pytest.raises(InputError, match="has the schema 'clinical-qkt/transfer-summary/1'") as refused:
        read_summary(json.dumps(old), "summary.json")
    assert "run that transfer again with this version" in refused.value.fix


def test_a_summary_is_read_back_as_it_was_written():
    summary = with_parts(made())
    again, _ = read_summary(json.dumps(summary.as_json()), "summary.json")
    assert again == summary


def _fields(described):
    for part, held in {TOP: described, **described["$defs"]}.items():
        for name in held["properties"]:
            yield part, name
