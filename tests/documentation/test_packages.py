"""JSON Schemas and the reference of packages say what the models say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from clinical_qkt.bundle.published_mask import published
from clinical_qkt.data.inputs import InputContract
from clinical_qkt.documentation.packages import CARDS, SCHEMAS, files, schema
from clinical_qkt.documentation.schema_tables import limited, undescribed
from clinical_qkt.networks.committee import CommitteeSpec, Seat
from clinical_qkt.networks.extractor import ExtractorSpec, PoolingSpec
from clinical_qkt.networks.gaussian_classifier import GaussianSpec
from clinical_qkt.networks.multihead import MultiHeadSpec
from clinical_qkt.networks.spec import NetworkSpec, preset
from clinical_qkt.packages.card import Card
from clinical_qkt.packages.query import QueryCard
from clinical_qkt.packages.response import ClassResponse, ResponseCard
from clinical_qkt.privacy.statement import (
    DifferentialPrivacy,
    MembershipFigures,
    PrivacyAudit,
    PrivacyStatement,
    TrainingSummary,
)
from tests.conftest import ROOT

SPEC, CONTRACT = preset("vit_small", 3, [28, 28]), InputContract(channels=3, spatial_size=[28, 28])
EXTRACTOR = ExtractorSpec(network=SPEC, depths=["blocks.0"], pooled=8, features=4)
FIGURES = MembershipFigures(
    attack="loss_threshold", of="all_classes", auc=0.5, tpr_at_1_percent=0.01, tpr_at_01_percent=None,
    members=100, others=100,
)  # fmt: skip
PRIVACY = PrivacyStatement(
    training=DifferentialPrivacy(
        epsilon=3, delta=1e-5, unit="patient", noise_multiplier=0.9, max_grad_norm=1
    ),
    audit=PrivacyAudit(shadow_models=4, figures=[FIGURES]),
)
HEADS = MultiHeadSpec(
    body=PoolingSpec(network=SPEC, depths=["blocks.0"], pooled=8), columns=[0], heads=[[0, 1]], own=0, width=2
)
COMMITTEE = CommitteeSpec(
    input=CONTRACT,
    width=2,
    members=[
        Seat(network=SPEC, input=CONTRACT, columns=[0, 1]),
        Seat(network=GaussianSpec(extractor=EXTRACTOR, own=1, gaussians=2), input=CONTRACT, columns=[0, 1]),
    ],
)


def model_card(network: Any = SPEC, **more: Any) -> Card:
    code = {"name": "a", "system": "http://snomed.info/sct", "code": "1"}
    about = {"site": "hospital_a", "task": "t", "label_space": [code, "b"], "head": "fc", "input": CONTRACT}
    return Card(**about, network=network, **more)


CARDS_WRITTEN = {
    "a model": model_card(),
    "a committee": model_card(COMMITTEE, knowledge_mask=published({"a": 0.9, "b": 0.1})),
    "heads for other models": model_card(HEADS),
    "everything": model_card(
        recall={"a": 1.0, "b": 0.33},
        privacy=PRIVACY,
        training=TrainingSummary(images={"a": 30, "b": None}, epochs=8),
        knowledge_mask=published({"a": 0.9, "b": 0.1}, 1.0),
    ),
    "a query": QueryCard(
        site="a",
        task="t",
        extractor=EXTRACTOR,
        input=CONTRACT,
        query=["p"],
        welcome=["mean"],
        private_axes=1,
        radius=1.5,
        model_sha256="0" * 64,
    ),
    "an answer": ResponseCard(
        site="a",
        task="t",
        query_sha256="0" * 64,
        answers=[
            ClassResponse(label="p", declined="no such class"),
            ClassResponse(
                label="q", kind="private_mean", noised_count=12801, epsilon=1, delta=1e-5, unit="image"
            ),
        ],
    ),
}


def test_the_files_are_what_the_command_writes():
    for path, text in files(ROOT).items():
        again = "run `python -m clinical_qkt.documentation.reference` again"
        assert path.read_text(encoding="utf-8") == text, f"{path.relative_to(ROOT)}: {again}"


@pytest.mark.parametrize("name", CARDS)
def test_every_field_says_what_it_means(name):
    assert list(undescribed(schema(CARDS[name]))) == []
    assert list(undescribed({"properties": {"x": {}}, "$defs": {"P": {"properties": {"y": {}}}}})) == [
        ".x",
        "P.y",
    ]


def validate(facts: dict[str, Any]) -> None:
    kind = facts["format"].split("/")[1]
    made = json.loads((ROOT / SCHEMAS / f"{kind}_card.json").read_text())
    jsonschema.Draft202012Validator.check_schema(made)
    jsonschema.validate(facts, made)


@pytest.mark.parametrize("what", CARDS_WRITTEN)
def test_a_card_that_this_software_writes_fits_its_schema(what):
    validate(CARDS_WRITTEN[what].facts())


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("patient",), "Ms A"),
        (("site",), "../a"),
        (("network", "name"), "os.system"),
        (("network", "path"), "x"),
        (("network", "in_channels"), 65),
        (("label_space",), []),
        (("label_space", 0, "name"), ""),
        (("recall",), {"a": 1.5}),
        (("weights_sha256",), "xyz"),
        (("format",), "clinical-qkt/model/3"),
        (("created",), None),
    ],
)
def test_the_schema_refuses_what_the_model_refuses(path, value):
    facts = json.loads(json.dumps(CARDS_WRITTEN["everything"].facts()))
    at = facts
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    with pytest.raises(ValueError):
        Card.model_validate(facts)
    made = json.loads((ROOT / SCHEMAS / "model_card.json").read_text())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(facts, made)


def test_a_card_without_its_format_does_not_fit():
    facts = CARDS_WRITTEN["a query"].facts()
    made = json.loads((ROOT / SCHEMAS / "query_card.json").read_text())
    del facts["format"]
    with pytest.raises(jsonschema.ValidationError, match="'format' is a required property"):
        jsonschema.validate(facts, made)


def test_the_names_of_networks_are_the_closed_list():
    with pytest.raises(ValueError, match="not on the list"):
        NetworkSpec(name="VGG", spatial_dims=2, in_channels=3)
    assert "`ResNet`" in limited(NetworkSpec.model_json_schema()["properties"]["name"])


def test_a_page_without_its_marks_is_an_error(tmp_path: Path):
    (tmp_path / "docs/reference").mkdir(parents=True)
    (tmp_path / "docs/reference/packages.md").write_text("nothing")
    with pytest.raises(ValueError, match="lacks the marks"):
        files(tmp_path)
