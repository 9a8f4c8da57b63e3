"""Sites answer a reference for all their classes, once; whoever has the same features uses that."""

# ruff: noqa: F811

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from clinical_qkt.core.errors import InputError, PackageError
from clinical_qkt.data.datalist import load_datalist
from clinical_qkt.data.label_space import LabelSpace, SiteClass
from clinical_qkt.data.transforms import cached, reading
from clinical_qkt.packages.model import load_model
from clinical_qkt.packages.query import QueryCard, load_query
from clinical_qkt.packages.response import ResponseCard, load_response
from clinical_qkt.packages.writer import CARD
from clinical_qkt.query.aggregate import read_responses
from clinical_qkt.query.published import NOT_PUBLISHED, _mapped, in_own_map, read_published
from clinical_qkt.site.config import check_site
from clinical_qkt.site.ledger.ledger import Ledger
from clinical_qkt.statistics.class_statistics import class_statistics
from tests.packages.test_query_and_answer import change
from tests.query.test_aggregate import asked, given, stage, student_of, transfer  # noqa: F401
from tests.query.test_response import CPU, EXACT, answer, pictures, query, site  # noqa: F401

PRIVATE = {"kinds": ["private_mean"], "unit": "image", "epsilon": 2.0, "total_epsilon": 10.0}


def reference(folder: Path, **changes):
    return query(folder, classes=(), reference=True, **changes)


def test_a_site_answers_a_reference_for_all_its_classes_whoever_will_use_it(pictures, tmp_path, capsys):
    card = answer(reference(tmp_path / "r"), site(pictures, tmp_path, **EXACT), tmp_path / "a")
    assert [(a.label.name, a.kind) for a in card.answers] == [("red", "covariance"), ("green", "covariance")]
    told = " ".join(capsys.readouterr().err.split())
    assert "everybody who uses the reference of site_a asks" in told
    found = load_response(tmp_path / "a", load_query(tmp_path / "r"))
    one = query(tmp_path / "q")
    again = site(pictures, tmp_path, **EXACT, exact_responses_per_class=2)
    answer(one, again, tmp_path / "b")
    assert torch.equal(found.given[0].mean, load_response(tmp_path / "b", one).given[0].mean)


def test_the_policy_holds_for_a_reference_as_for_a_query(pictures, tmp_path):
    who = site(pictures, tmp_path, **EXACT, may_ask=["site_x"])
    card = answer(reference(tmp_path / "r"), who, tmp_path / "a")
    assert all("not on this site's list" in a.declined for a in card.answers)


def test_private_answers_are_noised_once_and_serve_everybody_for_nothing_more(pictures, tmp_path):
    asked, who = reference(tmp_path / "r"), site(pictures, tmp_path, **PRIVATE)
    answer(asked, who, tmp_path / "a")
    spent = Ledger(who.ledger).spent(1e-5, "image")
    answer(asked, who, tmp_path / "b")
    assert Ledger(who.ledger).spent(1e-5, "image") == spent > 2
    for name in (CARD, ResponseCard.TENSORS):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"query": ["red"], "reference": True}, "a reference none"),
        ({"query": []}, "a query names classes"),
        ({"query": [], "reference": True, "looks": True}, "a reference tells none"),
    ],
)
def test_a_card_is_either_a_query_or_a_reference(tmp_path, changes, message):
    card = query(tmp_path / "q").card.model_dump(mode="json")
    if changes.get("looks"):
        from tests.query.looking import query as with_looks

        changes = {**changes, "looks": with_looks(tmp_path / "l").card.model_dump(mode="json")["looks"]}
    with pytest.raises(ValidationError, match=message):
        QueryCard.model_validate({**card, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"answers__1__label": {"name": "red"}}, "cannot be told apart"),
        ({"query_sha256": "1" * 64}, "another query"),
        ({"answers__0__count": -1}, "count"),
    ],
)
def test_answers_that_do_not_fit_a_reference_are_refused(pictures, tmp_path, changes, message):
    asked = reference(tmp_path / "r")
    answer(asked, site(pictures, tmp_path, **EXACT), tmp_path / "a")
    change(tmp_path / "a", ResponseCard.TENSORS, **changes)
    with pytest.raises(PackageError, match=message):
        load_response(tmp_path / "a", asked)


def test_statistics_along_other_axes_are_those_of_the_features_along_them():
    torch.manual_seed(0)
    features = torch.randn(50, 6, dtype=torch.float64)
    turned, moved = torch.randn(6, 4, dtype=torch.float64), torch.randn(4, dtype=torch.float64)
    found, truth = (
        _mapped(class_statistics(features), turned, moved),
        class_statistics(features @ turned + moved),
    )
    torch.testing.assert_close(found.mean, truth.mean)
    torch.testing.assert_close(found.covariance, truth.covariance)


def test_published_answers_and_their_reference_belong_together():
    values = {
        "site": "s", "data": "d", "classes": ["a", "b"], "query": ["c"], "output_dir": "o",
        "package_dir": "p", "query_dir": "q", "transfer_dir": "t", "ledger": "l",
    }  # fmt: skip
    for changes, message in (
        ({"published": ["a"]}, "together with 'reference_dir'"),
        ({"reference_dir": "r"}, "together with 'reference_dir'"),
        ({"published": ["a"], "reference_dir": "r", "responses": ["b"]}, "use one or the other"),
    ):
        with pytest.raises(InputError, match=message):
            check_site({**values, **changes}, "s.yaml")


@pytest.fixture(scope="session")
def published(demo: Path, asked: Path, tmp_path_factory) -> Path:
    """The demo's student has written a reference, and every other site has answered it; read-only."""
    out = tmp_path_factory.mktemp("published")
    student, _ = student_of(demo)
    stage("query", student, query_dir=str(out / "query"), yes=True, **{"settings::reference": True})
    for file in sorted(demo.glob("sites/*.yaml")):
        if file != student:
            where = {"response_dir": str(out / file.stem), "ledger": str(asked / f"{file.stem}.db")}
            policy = {**EXACT, "exact_responses_per_class": 2}
            stage("answer", file, request=str(out / "query"), yes=True, policy=policy, **where)
    return out


def gained(demo: Path, folder: Path, out: Path, **overrides) -> dict:
    where = {"reference_dir": str(folder / "query"), "published": [str(a) for a in given(folder)]}
    return transfer(demo, folder, out, [], teachers=[], **where, **overrides)


def of_student(demo: Path):
    """Own model, queried classes and training images of the demo's student."""
    values = student_of(demo)[1]
    own = load_model(Path(values["output_dir"]) / "model")
    labels = LabelSpace([SiteClass(name=c) for c in [*values["classes"], *values["query"]]])
    data = load_datalist(Path(values["data"]), labels, need=())
    images = cached(data.items["training"], reading("display"), own.card.input, "training images")
    return own, LabelSpace([SiteClass(name=c) for c in values["query"]]), images


def test_what_was_published_gains_a_class_as_what_was_asked_for_does(demo, asked, published, tmp_path):
    first = transfer(demo, asked, tmp_path / "asked", given(asked), teachers=[])
    second = gained(demo, published, tmp_path / "published")
    assert second["method"]["variant"] == "statistics"
    for name in ("query_recall", "retained_recall"):
        assert second["after"][name] == pytest.approx(first["after"][name], abs=0.03)
    told = {a["site"]: [c["class"] for c in a["classes"]] for a in second["responses"]}
    assert set(map(tuple, told.values())) == {tuple(second["student"]["query"])}


def test_exact_statistics_are_what_the_student_would_have_been_told(demo, asked, published):
    own, queried, training = of_student(demo)
    found = read_published(given(published), published / "query", own, queried)
    told = read_responses(given(asked), asked / "query", own, queried)
    assert [p.site for p in found.parts] == [p.site for p in told.parts]
    declined = [p.card.answers[0].declined for p in found.parts if not p.given]
    assert set(declined) <= {NOT_PUBLISHED} and any(p.given for p in found.parts)
    mapped = in_own_map(found, own, training, CPU)
    torch.testing.assert_close(mapped.extractor.projection, told.extractor.projection, rtol=1e-4, atol=1e-4)
    for mine, theirs in zip(mapped.parts, told.parts, strict=True):
        for i, one in theirs.given.items():
            torch.testing.assert_close(mine.given[i].mean, one.mean, rtol=1e-3, atol=1e-3)
            torch.testing.assert_close(mine.given[i].covariance, one.covariance, rtol=1e-2, atol=1e-2)


def test_a_student_with_other_features_is_refused(demo, published, pictures, tmp_path):
    reference(tmp_path / "r")
    own, queried, _ = of_student(demo)
    with pytest.raises(InputError, match="features of another network"):
        read_published([], tmp_path / "r", own, queried)
    one = query(tmp_path / "q")
    with pytest.raises(InputError, match="no reference"):
        read_published([], tmp_path / "q", own, queried)
    assert not one.card.reference and json.loads((published / "query" / CARD).read_text())["reference"]
