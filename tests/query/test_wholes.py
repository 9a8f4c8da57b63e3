"""A site that lists the parts of what it is asked for, and declares that they are."""

# ruff: noqa: F811

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from clinical_qkt.core.errors import InputError
from clinical_qkt.data.datalist import load_datalist
from clinical_qkt.data.label_space import LabelSpace, SiteClass
from clinical_qkt.packages.query import load_query
from clinical_qkt.packages.response import load_response
from clinical_qkt.privacy.mechanisms import STEPS
from clinical_qkt.query.published import OF_SEVERAL_KINDS, _of_queried
from clinical_qkt.query.response import Responding
from clinical_qkt.query.shared_classes import beside
from clinical_qkt.site.config import check_site
from clinical_qkt.site.ledger.ledger import Ledger
from clinical_qkt.site.ledger.lines import apart
from tests.query import looking
from tests.query.test_published import reference
from tests.query.test_response import CPU, EXACT, READ, answer, given, pictures, query, site  # noqa: F401

WHOLES = [{"name": "coloured", "merges": ["red", "green"]}]
PRIVATE = {"kinds": ["private_mean"], "unit": "patient", "epsilon": 1.0, "total_epsilon": 9.0}


def finer(pictures: Path, tmp_path: Path, wholes=WHOLES, data: str = "d.json", **policy):
    """A site that lists red and green, which together are what others call coloured."""
    return site(pictures, tmp_path, data, **policy).model_copy(
        update={"wholes": [SiteClass.model_validate(w) for w in wholes]}
    )


def coloured(folder: Path, **changes):
    return query(folder, classes=("coloured",), **changes)


@pytest.fixture(scope="session")
def of_both(pictures: Path) -> Path:
    """A datalist in which patient k has images k of both classes; few, for few seconds."""
    rows = [
        {"image": f"{kind}{i:02d}.png", "label": kind, "patient": f"p{i % 4}"}
        for kind in ("red", "green")
        for i in range(8)
    ]
    (pictures / "both.json").write_text(json.dumps({"training": rows, "validation": [], "test": []}))
    return pictures


def test_it_answers_exactly_with_the_images_of_all_parts(pictures, tmp_path):
    asked = coloured(tmp_path / "q")
    card = answer(asked, finer(pictures, tmp_path, **EXACT), tmp_path / "a")
    found = load_response(tmp_path / "a", asked).given[0]
    files = sorted(pictures.glob("*.png"))
    raw = np.stack([np.asarray(Image.open(f), np.float32).transpose(2, 1, 0) for f in files])
    image = torch.nn.functional.interpolate(torch.tensor(raw), size=(28, 28), mode="area")
    _, features = asked.extractor((image / 127.5 - 1).clamp(-1, 1))
    assert torch.allclose(found.mean, features.mean(0), atol=1e-4)
    assert torch.allclose(found.covariance, torch.cov(features.T), atol=1e-4)
    assert card.answers[0].count == 40 and [a.label.name for a in card.answers] == ["coloured"]


def test_without_the_declaration_it_has_no_such_class(pictures, tmp_path):
    card = answer(coloured(tmp_path / "q"), finer(pictures, tmp_path, wholes=[], **EXACT), tmp_path / "a")
    assert card.answers[0].declined == "this site has no such class"


def test_a_patient_of_several_parts_counts_once_and_moves_the_sum_by_one_radius_at_most(of_both, tmp_path):
    asked, who = coloured(tmp_path / "q", radius=0.5), finer(of_both, tmp_path, data="both.json", **PRIVATE)
    data = load_datalist(who.data, who.labels, need=("training",))
    one_pass = Responding(who, asked, data, given(who), READ, CPU, yes=True).one_pass()
    seen = one_pass.run(who.labels, {0: "private_mean"})[0]
    assert seen.patients == {"p0", "p1", "p2", "p3"}
    mine = seen.sums.contributions()
    assert len(mine) == 4 and 0 < int(mine.square().sum(1).max()) <= STEPS**2
    assert {images for _, images in seen.sums._sums.values()} == {4}


@pytest.mark.parametrize("name", ["coloured", "red"])
def test_a_private_answer_for_a_whole_spends_what_one_for_a_class_does(of_both, tmp_path, name):
    who = finer(of_both, tmp_path, data="both.json", **PRIVATE)
    card = answer(query(tmp_path / "q", classes=(name,)), who, tmp_path / "a")
    assert card.answers[0].kind == "private_mean"
    assert Ledger(who.ledger).spent(1e-5) == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("names", [("coloured", "red"), ("red", "coloured", "green")])
def test_nothing_exact_is_told_of_a_part_and_of_its_whole(pictures, tmp_path, names):
    """Two parts taken from their whole would leave the third, however few patients it has."""
    who = finer(pictures, tmp_path, **{**EXACT, "exact_responses_per_class": 9})
    told = [answer(query(tmp_path / f"q_{n}", classes=(n,)), who, tmp_path / n) for n in names]
    declined = [card.answers[0].declined for card in told]
    assert "no further exact response" in declined.pop(1) and set(declined) == {None}


def test_the_ledger_knows_a_whole_by_its_parts(pictures, tmp_path):
    who = finer(pictures, tmp_path, **EXACT)
    answer(coloured(tmp_path / "q"), who, tmp_path / "a")
    line = Ledger(who.ledger).lines()[0]
    assert line["class"] == "coloured" and apart(line["own_class"]) == ["red", "green"]


@pytest.mark.parametrize(("asked", "compared"), [("coloured", []), ("red", ["green"])])
def test_parts_of_a_whole_that_is_asked_for_are_not_compared(tmp_path, asked, compared):
    question = looking.query(tmp_path / "q", query=[asked])
    names = beside(question, check(["red", "green"], WHOLES)).names
    assert [name for name in names.values() if name != asked] == compared


def check(classes, wholes, query=()):
    values = {
        "site": "s", "data": "d", "classes": classes, "wholes": wholes, "query": list(query),
        "output_dir": "o", "package_dir": "p", "query_dir": "q", "transfer_dir": "t", "ledger": "l",
    }  # fmt: skip
    return check_site(values, "s.yaml").labels


@pytest.mark.parametrize(
    ("wholes", "asked", "says"),
    [
        ([{"name": "coloured", "merges": ["red", "blue"]}], [], "wholes: 'blue', a part of 'coloured'"),
        (WHOLES, ["coloured"], "the site knows 'coloured' already"),
    ],
)
def test_a_sites_yaml_that_contradicts_itself_is_refused(wholes, asked, says):
    with pytest.raises(InputError, match=says):
        check(["red", "green"], wholes, asked)


@pytest.mark.parametrize("policy", [EXACT, {**PRIVATE, "unit": "image"}], ids=["exact", "private"])
def test_of_what_was_published_in_parts_whoever_merges_them_takes_all(pictures, tmp_path, policy):
    asked = reference(tmp_path / "r", **({"radius": 0.5} if "epsilon" in policy else {}))
    answer(asked, site(pictures, tmp_path, **policy), tmp_path / "a")
    whole = LabelSpace([SiteClass.model_validate(WHOLES[0])])
    part = load_response(tmp_path / "a", load_query(tmp_path / "r"))
    found = _of_queried(part, whole)
    told, one, other = found.card.answers[0], part.given[0], part.given[1]
    assert told.label.name == "coloured" and len(found.card.answers) == 1
    if policy is EXACT:
        assert told.count == 40 and torch.allclose(found.given[0].mean, (one.mean + other.mean) / 2)
        return
    assert torch.equal(found.given[0].total, one.total + other.total)
    assert found.given[0].count == one.count + other.count
    assert told.epsilon == 2 * part.card.answers[0].epsilon and told.delta == 2 * part.card.answers[0].delta


def test_where_a_part_was_declined_or_is_of_another_kind_nothing_is_taken(pictures, tmp_path):
    asked = reference(tmp_path / "r")
    answer(asked, site(pictures, tmp_path, **EXACT), tmp_path / "a")
    part, whole = load_response(tmp_path / "a", asked), LabelSpace([SiteClass.model_validate(WHOLES[0])])
    first, second = part.card.answers
    part.card.answers[1] = second.model_copy(update={"kind": "mean"})
    assert _of_queried(part, whole).card.answers[0].declined == OF_SEVERAL_KINDS
    part.card.answers[1] = second.model_copy(update={"kind": None, "declined": "too few", "count": None})
    del part.given[1]
    found = _of_queried(part, whole)
    assert found.given == {} and "of its part 'green' nothing" in found.card.answers[0].declined
    assert _of_queried(part, LabelSpace(["red"])).given.keys() == {0} and first.kind == "covariance"
