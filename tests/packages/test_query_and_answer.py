"""Query and answer packages, good ones and hostile ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from clinical_qkt.core.errors import InputError, PackageError
from clinical_qkt.data.inputs import InputContract
from clinical_qkt.networks.extractor import Extractor, describe
from clinical_qkt.networks.spec import preset
from clinical_qkt.packages.query import Query, QueryCard, load_query, save_query
from clinical_qkt.packages.response import ClassResponse, ResponseCard, load_response, save_response
from clinical_qkt.packages.verify import verify
from clinical_qkt.packages.writer import CARD
from clinical_qkt.statistics.class_statistics import ClassStatistics, class_statistics
from tests.conftest import reseal

SPEC, CONTRACT = preset("resnet_small", 3, [28, 28]), InputContract(channels=3, spatial_size=[28, 28])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    network = SPEC.build(4).eval()
    extractor = Extractor(describe(network, SPEC, ["bn1"], CONTRACT), network)
    extractor.center += 0.5
    card = QueryCard(
        site="hospital_a", task="t", extractor=extractor.spec, input=CONTRACT, query=["p", "q"],
        welcome=["covariance", "diagonal", "mean", "private_mean"], private_axes=4, radius=5.0,
        model_sha256="0" * 64,
    )  # fmt: skip
    save_query(tmp_path / "query", extractor, card)
    return tmp_path / "query"


@pytest.fixture
def query(folder: Path) -> Query:
    return load_query(folder)


def change(folder: Path, name: str, **changes) -> None:
    """Somebody changes card or tensors on purpose, with digests that fit."""
    card = json.loads((folder / CARD).read_text())
    for key, value in changes.items():
        *path, last = key.split("__")
        at = card
        for step in path:
            at = at[int(step)] if isinstance(at, list) else at[step]
        at[int(last) if isinstance(at, list) else last] = value
    (folder / CARD).write_text(json.dumps(card))
    reseal(folder, name)


def change_tensor(folder: Path, name: str, key: str, edit) -> None:
    tensors = load_file(folder / name)
    tensors[key] = edit(tensors[key])
    save_file(tensors, folder / name)
    reseal(folder, name)


def test_a_query_holds_the_extractor_and_not_the_head(folder, query):
    assert query.card.query[1].name == "q" and query.extractor.center.dtype == torch.float64
    tensors = load_file(folder / QueryCard.TENSORS)
    heads = [v for k, v in tensors.items() if k.startswith("network.fc")]
    assert heads and all(float(h.abs().sum()) == 0 and len(h) == 1 for h in heads)
    assert verify(folder, None).card == query.card


def test_only_the_stages_that_the_features_come_from_leave(tmp_path):
    network = SPEC.build(4).eval()
    extractor = Extractor(describe(network, SPEC, ["bn1", "layer1"], CONTRACT), network)
    card = QueryCard(
        site="a", task="t", extractor=extractor.spec, input=CONTRACT, query=["p"], welcome=["mean"],
        private_axes=1, radius=5.0, model_sha256="0" * 64,
    )  # fmt: skip
    save_query(tmp_path / "q", extractor, card)
    sent = load_query(tmp_path / "q").extractor
    image = torch.randn(3, 3, 28, 28)
    assert torch.allclose(sent(image)[1].float(), extractor(image)[1], atol=1e-4)
    left = {k: float(v.abs().sum()) for k, v in sent.network.state_dict().items()}
    assert all(v == 0 for k, v in left.items() if k.startswith(("layer2", "layer3", "layer4", "fc")))
    assert left["conv1.weight"] > 0 and left["layer1.0.conv1.weight"] > 0
    assert float(network.layer4[0].conv1.weight.detach().abs().sum()) > 0  # the own model is as it was


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"extractor__features": 64}, "cannot make more numbers than are pooled"),
        ({"extractor__features": 16}, "shape .* is needed"),
        ({"extractor__pooled": 64}, "pools 32 numbers, 64 are declared"),
        ({"extractor__depths": ["layer1"]}, None),
        ({"extractor__depths": ["nothing"]}, "has no module 'nothing'"),
        ({"extractor__depths": ["network.conv1; import os"]}, "has no module"),
        ({"extractor__network__name": "os.system"}, "not on the list"),
        ({"input__channels": 1}, "cannot take the images"),
        ({"query": []}, "query"),
        ({"query": ["p", "P"]}, "the same class"),
        ({"query": [{"name": "p", "system": "SCT"}]}, "a system its code"),
        ({"welcome": ["images"]}, "welcome"),
        ({"radius": -1}, "radius"),
        ({"extra": 1}, "extra"),
    ],
)
def test_a_query_that_is_not_what_it_says_is_refused(folder, changes, message):
    change(folder, QueryCard.TENSORS, **changes)
    if message is None:  # same number of features, another depth: that is a query in its own right
        assert load_query(folder).card.extractor.depths == ["layer1"]
        return
    with pytest.raises(PackageError, match=message):
        load_query(folder)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_an_extractor_with_weights_that_are_not_finite_is_refused(folder, value):
    change_tensor(folder, QueryCard.TENSORS, "projection", lambda t: t * value)
    with pytest.raises(PackageError, match="'projection' holds NaN or infinity"):
        load_query(folder)


def statistics(query: Query, seed: int = 0) -> ClassStatistics:
    width = query.card.extractor.features
    return class_statistics(torch.randn(100, width, generator=torch.Generator().manual_seed(seed)))


@pytest.fixture
def answer(query: Query, tmp_path: Path) -> Path:
    card = ResponseCard(
        site="hospital_b", task="t", query_sha256=query.digest,
        answers=[
            ClassResponse(label="p", kind="covariance", count=100),
            ClassResponse(label="q", declined="this site has no such class"),
        ],
    )  # fmt: skip
    save_response(tmp_path / "answer", card, [statistics(query), None])
    return tmp_path / "answer"


def test_what_is_answered_is_what_is_read(answer, query, folder):
    found = load_response(answer, query)
    assert list(found.given) == [0] and found.given[0].count == 100
    assert torch.allclose(found.given[0].covariance, statistics(query).covariance, atol=1e-6)
    assert verify(answer, None, folder).card.answers[1].declined == "this site has no such class"
    with pytest.raises(InputError, match="checked against its query"):
        verify(answer, None)


def test_a_count_that_is_not_told_is_a_small_one_and_none_at_all_is_something_else(answer, query):
    change(answer, ResponseCard.TENSORS, answers__0__count=None)
    found = load_response(answer, query)
    assert found.given[0].count == 10 and found.card.answers[0].kind == "covariance"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"query_sha256": "1" * 64}, "answers another query"),
        ({"answers__0__count": -5}, "count"),
        ({"answers__0__count": 0}, "count"),
        ({"answers__1__count": 30}, "only an exact response has one"),
        ({"answers__0__label": {"name": "z"}}, "other classes than were asked for"),
        ({"answers__0__kind": "diagonal"}, "shape"),
        ({"answers__0__kind": "mean"}, "does not belong"),
        ({"answers__0__kind": "private_mean"}, "a private response has them all"),
        ({"answers__1__declined": None}, "either a kind of answer or a reason"),
        ({"answers__1__kind": "mean"}, "either a kind of answer or a reason"),
    ],
)
def test_an_answer_that_is_not_one_to_this_query_is_refused(answer, query, changes, message):
    change(answer, ResponseCard.TENSORS, **changes)
    with pytest.raises(PackageError, match=message):
        load_response(answer, query)


@pytest.mark.parametrize(
    ("key", "edit", "message"),
    [
        ("0.covariance", lambda t: -t, "smallest variance is negative"),
        ("0.covariance", lambda t: t * 0, "smallest variance is negative"),
        ("0.covariance", lambda t: t + torch.arange(len(t)), "not symmetric"),
        ("0.covariance", lambda t: t[:-1, :-1].contiguous(), "shape"),
        ("0.mean", lambda t: t[:-1].contiguous(), "shape"),
        ("0.mean", lambda t: t / 0, "NaN or infinity"),
    ],
)
def test_statistics_that_cannot_be_are_refused(answer, query, key, edit, message):
    change_tensor(answer, ResponseCard.TENSORS, key, edit)
    with pytest.raises(PackageError, match=message):
        load_response(answer, query)


def test_an_answer_of_a_kind_that_was_not_welcome_is_refused(answer, query):
    query.card = query.card.model_copy(update={"welcome": ["private_mean"]})
    with pytest.raises(PackageError, match="'covariance' was not welcome"):
        load_response(answer, query)
