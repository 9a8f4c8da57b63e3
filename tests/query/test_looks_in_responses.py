"""A site with pictures of another look answers: they are brought to the asker's, and what is left is told."""

from __future__ import annotations

import json
import sqlite3

import pytest
import torch
from safetensors.torch import load_file

from clinical_qkt.core.errors import PackageError
from clinical_qkt.data.label_space import ClassLabel
from clinical_qkt.data.look_shared import Compared
from clinical_qkt.packages.response import ResponseCard, load_response
from clinical_qkt.packages.writer import CARD
from clinical_qkt.privacy.mechanisms import STEPS
from clinical_qkt.query.private_look import LENGTH
from clinical_qkt.query.residual import Residual, taken_off
from clinical_qkt.query.told import Told, left_out, told_looks
from clinical_qkt.site.ledger.file import LOOK
from clinical_qkt.site.ledger.ledger import Ledger
from tests.packages.test_query_and_answer import change, change_tensor
from tests.query.looking import EXACT, GIVEN, PRIVATE, extractor, looks, pictures, query, seen, shown, stained
from tests.query.test_response import answer, site

COUNTS = {"green": 60, "blue": 60}


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """A site with pictures in another look."""
    return pictures(tmp_path_factory.mktemp("other"))


@pytest.fixture(scope="module")
def same(tmp_path_factory):
    """A site with pictures in the asker's look."""
    return pictures(tmp_path_factory.mktemp("same"), look=lambda picture: picture)


def length(vector) -> float:
    return float(vector.norm()) / len(vector) ** 0.5


def features(kind: str, *look) -> torch.Tensor:
    """The mean features of a class of the site."""
    return extractor()(shown(kind, 1000, 40, *look))[1].mean(0).detach()


def truth() -> torch.Tensor:
    """Those of red, were it in the asker's look."""
    return features("red")


@pytest.mark.slow
def test_what_a_site_with_another_look_tells_comes_near_to_what_it_would_tell_in_the_askers(other, tmp_path):
    asked = query(tmp_path / "q")
    without = query(tmp_path / "q0", looks=None)
    off, who = {}, site(other, tmp_path, **EXACT, exact_responses_per_class=2)
    for name, one in (("with", asked), ("without", without)):
        answer(one, who, tmp_path / f"a_{name}")
        found = load_response(tmp_path / f"a_{name}", one)
        told = told_looks(found, one, COUNTS)
        part = taken_off(found.given[0], told[0].residual if told else None)
        off[name] = length(part.mean - truth())
    assert off["with"] < 0.4 * off["without"]


def test_an_exact_response_tells_the_looks_of_shared_classes_and_what_is_left(other, tmp_path):
    asked = query(tmp_path / "q")
    card = answer(asked, site(other, tmp_path, **EXACT), tmp_path / "a")
    look = card.answers[0].look
    assert [c.name for c in look.shared] == ["green"] and look.counts == [40] and look.mapped
    found = load_response(tmp_path / "a", asked)
    told = told_looks(found, asked, COUNTS)[0]
    assert told.compared.distance == look.distance > 1 and told.compared.shared == ("green",)
    assert told.residual.noise == pytest.approx(1 / 40 + 1 / 60)
    assert told.residual.shift.shape == found.given[0].mean.shape


@pytest.mark.slow
def test_where_images_look_alike_nothing_is_mapped_and_no_residual_told(same, tmp_path):
    asked = query(tmp_path / "q")
    card = answer(asked, site(same, tmp_path, **EXACT), tmp_path / "a")
    assert not card.answers[0].look.mapped
    assert not [k for k in load_file(tmp_path / "a" / ResponseCard.TENSORS) if "residual" in k]
    told = told_looks(load_response(tmp_path / "a", asked), asked, COUNTS)[0]
    assert told.compared.alike and told.residual is None


@pytest.mark.parametrize(("off", "left"), [(0.0, 0.0), (60.0, 3.0)])
def test_private_answers_that_look_alike_tell_in_one_number_how_far_features_lie_off(
    same, tmp_path, off, left
):
    """Noise may have hidden a difference in looks that shows in features: here the asker's mean is off."""
    asked = query(tmp_path / "q", means=looks()[1] + off)
    card = answer(asked, site(same, tmp_path, **PRIVATE), tmp_path / "a")
    look = card.answers[0].look
    assert not look.mapped and look.shares.residual == LENGTH and look.shares.mean == pytest.approx(0.55)
    tensors = load_file(tmp_path / "a" / ResponseCard.TENSORS)
    assert tensors["0.residual"].shape == (1,)
    told = told_looks(load_response(tmp_path / "a", asked), asked, COUNTS)[0]
    assert told.compared.alike and told.residual.share == 0
    assert told.residual.per_axis >= left and (off or told.residual.per_axis < 1)


@pytest.mark.slow
@pytest.mark.parametrize("policy", [EXACT, PRIVATE])
@pytest.mark.parametrize("how", ["the query tells none", "the policy says no"])
def test_without_looks_a_response_is_what_it_was(other, tmp_path, policy, how):
    changes = {"looks": None} if how == "the query tells none" else {}
    asked = query(tmp_path / "q", **changes)
    who = site(other, tmp_path, **policy, tell_looks=how == "the query tells none")
    answer(asked, who, tmp_path / "a")
    assert "look" not in json.loads((tmp_path / "a" / CARD).read_text())["answers"][0]
    tensors = set(load_file(tmp_path / "a" / ResponseCard.TENSORS))
    assert tensors == ({"0.total"} if policy is PRIVATE else {"0.mean", "0.covariance"})
    release = json.loads(Ledger(tmp_path / "ledger.db").lines()[0]["release"])
    assert set(release) == ({"total", "count"} if policy is PRIVATE else {"count", "sha256"})
    assert told_looks(load_response(tmp_path / "a", asked), asked, COUNTS) == {}


@pytest.mark.slow
@pytest.mark.parametrize("policy", [EXACT, PRIVATE])
def test_a_site_that_shares_no_class_says_that_nothing_could_be_compared(other, tmp_path, policy):
    asked = query(tmp_path / "q", classes=("blue",))
    card = answer(asked, site(other, tmp_path, **policy), tmp_path / "a")
    assert card.answers[0].look.shared == [] and not card.answers[0].look.mapped
    told = told_looks(load_response(tmp_path / "a", asked), asked, COUNTS)[0]
    assert told == Told(None, None) or (told.compared, told.residual) == (None, None)


def through_a_third(folder, kind: str = "red", **changes):
    """A query that tells the looks of blue, and of a further site that knows blue and another class."""
    asked = query(folder / "q0", classes=("blue",))
    blue, numbers = asked.card.looks.classes[0], GIVEN.look_of(shown(kind, 0, 60)).mean(0).tolist()
    known = blue.model_copy(update={"label": ClassLabel(name=kind), "numbers": numbers})
    third = asked.card.looks.model_copy(update={"classes": [blue, known]})
    return query(folder / "q", classes=("blue",), others=[third], **changes)


@pytest.mark.slow
@pytest.mark.parametrize(("policy", "kind"), [(EXACT, "red"), (EXACT, "green"), (PRIVATE, "red")])
def test_a_site_that_shares_no_class_is_compared_through_a_third(other, tmp_path, policy, kind):
    """Which knows the class that is asked for, or another one of the answering site's."""
    asked = through_a_third(tmp_path, kind)
    card = answer(asked, site(other, tmp_path, **policy), tmp_path / "a")
    told = told_looks(load_response(tmp_path / "a", asked), asked, COUNTS)[0]
    assert told.compared.shared == () and told.compared.distance > 1 and told.residual is None
    assert card.answers[0].look.through == (0 if policy is PRIVATE else None)
    found = seen(asked, site(other, tmp_path, **policy), card.answers[0].kind)
    assert found.look.compared.first == (kind,)
    mean = found.moments.mean if policy is EXACT else found.sums.contributions().double().mean(0) * 8 / STEPS
    assert length(mean - truth()) < 0.5 * length(features("red", stained) - truth())
    with sqlite3.connect(tmp_path / "ledger.db") as db:
        kept = db.execute("SELECT count(*) FROM answers WHERE kind = ?", (LOOK,)).fetchone()[0]
    assert kept == (policy is EXACT)  # the floor holds for what is only compared, too


def test_a_further_site_that_the_query_does_not_tell_of_is_refused(other, tmp_path):
    asked = through_a_third(tmp_path)
    answer(asked, site(other, tmp_path, **PRIVATE), tmp_path / "a")
    card = (tmp_path / "a" / CARD).read_text()
    for changes, message in (
        ({"through": 1}, "a site of which the query does not tell"),
        ({"through": -1}, "through"),
        ({"through": None, "mapped": False}, "a residual is told of classes that both know"),
        ({"shared": [{"name": "green"}]}, "looks the query does not tell"),
    ):
        (tmp_path / "a" / CARD).write_text(card)
        told = {f"answers__0__look__{key}": value for key, value in changes.items()}
        change(tmp_path / "a", ResponseCard.TENSORS, **told)
        with pytest.raises(PackageError, match=message):
            load_response(tmp_path / "a", asked)


@pytest.mark.slow
def test_a_shared_class_of_too_few_patients_is_not_compared(tmp_path):
    few = pictures(tmp_path / "few", count=24, skip=tuple(("green", 1000 + i) for i in range(10)))
    card = answer(query(tmp_path / "q"), site(few, tmp_path, **EXACT), tmp_path / "a")
    assert card.answers[0].kind == "covariance" and card.answers[0].look.shared == []


@pytest.mark.slow
def test_a_class_that_could_be_several_or_is_a_part_of_one_is_not_shared(other, tmp_path):
    who = site(other, tmp_path, **EXACT)
    classes = [{"name": "red"}, {"name": "green", "merges": ["lime", "olive"]}]
    changed = type(who).model_validate({**who.model_dump(), "classes": classes})
    who = who.model_copy(update={"classes": changed.classes})
    for told in (("lime",), ("green", "olive")):
        asked = query(tmp_path / f"q_{told[-1]}", classes=told)
        found = seen(asked, who, "covariance").look
        assert "lime" not in found.shared and "olive" not in found.shared


@pytest.mark.slow
@pytest.mark.parametrize("policy", [EXACT, PRIVATE])
def test_the_same_query_gets_the_same_looks_and_pays_once(other, same, tmp_path, policy):
    asked = query(tmp_path / "q")
    answer(asked, site(other, tmp_path, **policy), tmp_path / "a")
    spent = Ledger(tmp_path / "ledger.db").spent(1e-5, "image")
    again = site(other, tmp_path, **policy, tell_looks=False)
    answer(asked, again, tmp_path / "b")
    for name in (CARD, ResponseCard.TENSORS):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert Ledger(tmp_path / "ledger.db").spent(1e-5, "image") == spent
    if policy is PRIVATE:
        assert spent == pytest.approx(20.0, abs=0.1)


def test_where_very_much_is_left_features_are_clipped_and_the_response_says_what_was_left(other, tmp_path):
    asked = query(tmp_path / "q", means=looks()[1] + 5)
    card = answer(asked, site(other, tmp_path, **EXACT), tmp_path / "a")
    told = told_looks(load_response(tmp_path / "a", asked), asked, COUNTS)[0]
    assert card.answers[0].look.unclipped == told.residual.per_axis > 3
    assert float(told.residual.shift.norm()) <= asked.card.radius < 3 * 32**0.5
    change(tmp_path / "a", ResponseCard.TENSORS, answers__0__look__unclipped=-1.0)
    with pytest.raises(PackageError):
        load_response(tmp_path / "a", asked)


@pytest.mark.slow
def test_a_person_is_shown_how_much_leaves_with_looks(other, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "220")
    asked = query(tmp_path / "q")
    answer(asked, site(other, tmp_path, **EXACT), tmp_path / "a")
    told = " ".join(capsys.readouterr().err.split())
    numbers = 1 + 32 * 35 // 2 + 2 * 15 + 1 + 1 + 32 + 1
    assert f"how images look beside the asker's: green │ 40 │ {numbers}" in told
    answer(query(tmp_path / "q2"), site(other, tmp_path, **PRIVATE), tmp_path / "b")
    assert f"green │ - │ {1 + 32 + 3 * 16 + 2 + 32}" in " ".join(capsys.readouterr().err.split())


@pytest.mark.slow
def test_a_class_that_was_compared_cannot_be_subtracted_later(other, tmp_path):
    """Its mean was told: nothing exact is told of nearly the same patients again, queried or compared."""
    answer(query(tmp_path / "q1"), site(other, tmp_path, **EXACT), tmp_path / "a1")
    pictures(other, name="less.json", skip=(("green", 1010), ("red", 1010)))
    less = site(other, tmp_path, data="less.json", **{**EXACT, "exact_responses_per_class": 5})
    assert seen(query(tmp_path / "q2", radius=7.0), less, "covariance").look.shared == ()
    for name, classes in (("red", ("green",)), ("green", ("red",))):
        asked = query(tmp_path / f"q_{name}", classes=classes, query=[name], radius=6.0)
        card = answer(asked, less, tmp_path / f"b_{name}")
        assert "no further exact response" in card.answers[0].declined
    lines = [line for line in Ledger(less.ledger).lines() if line["kind"] == "look"]
    assert [line["own_class"] for line in lines] == ["green"]


@pytest.fixture(scope="module")
def told(other, tmp_path_factory):
    """A query with an exact and a private response to it; to be copied before it is changed."""
    folder = tmp_path_factory.mktemp("told")
    asked = query(folder / "q")
    (folder / "exact").mkdir(), (folder / "private").mkdir()
    for name, policy in (("exact", EXACT), ("private", PRIVATE)):
        answer(asked, site(other, folder, **policy), folder / name / "a")
    return asked, folder


def copied(folder, name: str, tmp_path):
    import shutil

    return shutil.copytree(folder / name / "a", tmp_path / "a")


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("exact", {"answers__0__look__shared": [{"name": "blue"}]}, "looks the query does not tell"),
        ("exact", {"answers__0__look__shared": []}, "counts"),
        ("exact", {"answers__0__look__counts": [7]}, "counts"),
        ("exact", {"answers__0__look__mapped": False}, "0.residual' does not belong"),
        ("exact", {"answers__0__look__distance": 0.1}, "a distance of looks that is not theirs"),
        ("exact", {"answers__0__look__seen": None}, "seen, wanted and distance"),
        ("exact", {"answers__0__look__seen": [0.1] * 8}, "other channels"),
        ("exact", {"answers__0__look__seen": [1e9] * 15}, "seen"),
        ("exact", {"answers__0__look__version": 1}, "version"),
        ("private", {"answers__0__look__shares__mean": 0.9}, "do not add up to one"),
        ("private", {"answers__0__look__shares": None}, "shares and noised_counts"),
        ("private", {"answers__0__look__mapped": False}, "0.residual' has shape"),
        ("private", {"answers__0__look__noised_counts__fine": 10**13}, "fine"),
        ("private", {"answers__0__look__noised_counts__fine": 0.5}, "fine"),
    ],
)
def test_looks_that_cannot_be_are_refused(told, tmp_path, name, changes, message):
    asked, folder = told
    package = copied(folder, name, tmp_path)
    change(package, ResponseCard.TENSORS, **changes)
    with pytest.raises(PackageError, match=message):
        load_response(package, asked)


@pytest.mark.parametrize(
    ("name", "key", "edit", "message"),
    [
        ("exact", "0.residual", lambda t: t / 0, "NaN or infinity"),
        ("exact", "0.residual", lambda t: t[:-1].contiguous(), "shape"),
        ("private", "0.look.fine", lambda t: t.double(), "I64 is needed"),
        ("private", "0.look.coarse", lambda t: t[:-1].contiguous(), "shape"),
        ("private", "0.residual", lambda t: t[:-1].contiguous(), "shape"),
    ],
)
def test_numbers_of_looks_that_do_not_fit_are_refused(told, tmp_path, name, key, edit, message):
    asked, folder = told
    package = copied(folder, name, tmp_path)
    change_tensor(package, ResponseCard.TENSORS, key, edit)
    with pytest.raises(PackageError, match=message):
        load_response(package, asked)


def test_looks_in_a_response_to_a_query_without_any_are_refused_with_all_else(told, tmp_path):
    package = copied(told[1], "exact", tmp_path)
    plain = query(tmp_path / "q", looks=None)
    change(package, ResponseCard.TENSORS, query_sha256=plain.digest, answers__0__count=5)
    with pytest.raises(PackageError, match="of which the query tells none"):
        load_response(package, plain)


def compared(distance: float, *shared: str) -> Told:
    zeros = torch.zeros(15, dtype=torch.float64)
    return Told(Compared(zeros, zeros, shared, distance), Residual(zeros, 0.1) if shared else None)


ALIKE, MAPPED, THROUGH_OTHERS = compared(0.1, "a"), compared(3.0, "a"), compared(3.0)
UNKNOWN = Told(None, None)


@pytest.mark.parametrize(
    ("given", "out"),
    [
        ([ALIKE, MAPPED], [False, False]),
        ([ALIKE, THROUGH_OTHERS], [False, False]),
        ([THROUGH_OTHERS, UNKNOWN], [False, True]),
        ([UNKNOWN, None], [False, False]),
        ([MAPPED, UNKNOWN, None], [False, True, True]),
        ([ALIKE, UNKNOWN, None], [False, False, False]),
    ],
)
def test_answers_of_unknown_look_are_left_out_where_looks_of_others_differ(given, out):
    assert left_out(given) == out


def test_a_stain_is_another_look():
    before, after = shown("green", 0, 20), shown("green", 0, 20, stained)
    assert float((before - after).abs().mean()) > 0.1
