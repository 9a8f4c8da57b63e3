"""A site and its ledger: exact responses are kept, few images not told, nothing begins by a slip."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file

from clinical_qkt.core.errors import InputError
from clinical_qkt.data.datalist import load_datalist
from clinical_qkt.packages.response import ResponseCard, load_response
from clinical_qkt.query.response import Responding
from clinical_qkt.site.ledger.kept_responses import packed, unpacked
from clinical_qkt.site.ledger.ledger import Ledger
from clinical_qkt.statistics.class_statistics import ClassStatistics
from tests.query.test_response import CPU, EXACT, READ, answer, given, query, site
from tests.query.test_response import pictures as pictures


def smaller(pictures, name: str, images: int) -> str:
    """A datalist with the first images of each class."""
    content = json.loads((pictures / "d.json").read_text())
    for kind in ("red", "green"):
        rows = [e for e in content["training"] if e["label"] == kind]
        content["training"] = [e for e in content["training"] if e not in rows[images:]]
    (pictures / name).write_text(json.dumps({**content, "validation": []}))
    return name


@pytest.mark.parametrize("covariance", [torch.eye(3), torch.ones(3), None])
def test_what_is_kept_is_what_left_to_the_last_bit(covariance):
    left = ClassStatistics(40, torch.rand(3, dtype=torch.float64), covariance)
    again = unpacked(packed(left))
    assert again.count == 40 and packed(again) == packed(left) and again.kind == left.kind
    assert packed(ClassStatistics(47, left.mean)).count == 40  # what was told, and no more


def test_the_same_query_gets_the_same_exact_bytes_after_the_images_have_changed(pictures, tmp_path, capsys):
    asked = query(tmp_path / "q")
    answer(asked, site(pictures, tmp_path, **EXACT), tmp_path / "a")
    who = site(pictures, tmp_path, data=smaller(pictures, "few.json", 8), **EXACT)
    capsys.readouterr()
    answer(asked, who, tmp_path / "b")
    assert "covariance, as told" in capsys.readouterr().err
    assert (tmp_path / "a" / ResponseCard.TENSORS).read_bytes() == (
        tmp_path / "b" / ResponseCard.TENSORS
    ).read_bytes()
    assert len([line for line in Ledger(who.ledger).lines() if line["kind"] == "covariance"]) == 1


def test_a_second_exact_answer_is_declined_before_anybody_is_asked_to_agree(
    pictures, tmp_path, capsys, monkeypatch
):
    monkeypatch.setenv("COLUMNS", "200")
    who = site(pictures, tmp_path, **EXACT)
    answer(query(tmp_path / "q1"), who, tmp_path / "a1")
    capsys.readouterr()
    card = answer(query(tmp_path / "q2", radius=6.0), who, tmp_path / "a2")
    assert card.answers[0].declined == "this site gives no further exact response for this class"
    assert "no further exact response" in " ".join(capsys.readouterr().err.split())
    assert load_file(tmp_path / "a2" / ResponseCard.TENSORS) == {}


def test_few_images_are_not_told_and_do_not_look_like_none(pictures, tmp_path):
    who = site(pictures, tmp_path, data=smaller(pictures, "few.json", 12), **EXACT)
    asked = query(tmp_path / "q")
    told = answer(asked, who, tmp_path / "a").answers[0]
    assert told.kind == "covariance" and told.count is None
    assert load_response(tmp_path / "a", asked).given[0].count == 10


def test_a_policy_that_the_datalist_contradicts_is_refused(pictures, tmp_path):
    who = site(pictures, tmp_path, minimum_patients=2, images_per_patient=1)
    with pytest.raises(InputError, match="a patient has more than 1 images of a class"):
        answer(query(tmp_path / "q"), who, tmp_path / "a")
    assert not (tmp_path / "a").exists() and Ledger(who.ledger).lines() == []


def test_nothing_is_computed_and_no_ledger_begun_by_a_yes_alone(pictures, tmp_path):
    who, asked = site(pictures, tmp_path, minimum_patients=2), query(tmp_path / "q")
    data = load_datalist(who.data, who.labels, need=("training",))
    with pytest.raises(InputError, match="this site has no ledger yet"):
        Responding(who, asked, data, given(who), READ, CPU, True).run(tmp_path / "a")
    assert not (tmp_path / "a").exists() and not who.ledger.exists()


def test_a_query_of_which_all_is_declined_needs_no_ledger_that_was_begun(pictures, tmp_path):
    who, asked = site(pictures, tmp_path, may_ask=["nobody"]), query(tmp_path / "q")
    data = load_datalist(who.data, who.labels, need=("training",))
    card = Responding(who, asked, data, given(who), READ, CPU, True).run(tmp_path / "a")
    assert card.answers[0].declined and not Ledger(who.ledger).is_begun()
    assert len(Ledger(who.ledger).lines()) == 1
