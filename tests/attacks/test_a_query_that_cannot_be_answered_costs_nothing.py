"""Promise: what no honest answer can be given to is refused before any of the privacy budget is spent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from clinical_qkt.core.errors import PackageError
from clinical_qkt.data.label_space import LabelSpace, SiteClass
from clinical_qkt.packages.query import QueryCard, load_query
from clinical_qkt.packages.writer import CARD
from clinical_qkt.site.policy import Declined, Policy
from tests.attacks.hospital import Hospital, asked
from tests.conftest import reseal


def changed(folder: Path, **changes: Any) -> Path:
    """A query as whoever is not bound by our writer makes it."""
    card = json.loads((asked(folder, seed=1) / CARD).read_text())
    (folder / CARD).write_text(json.dumps(card | changes))
    reseal(folder, QueryCard.TENSORS)
    return folder


@pytest.fixture
def hospital(tmp_path: Path) -> Hospital:
    """One answer at epsilon 1 is all that its budget is good for."""
    return Hospital(tmp_path).prepare()


SAME = "another class that is asked for is the same one at this site, or a part of it"
RED = {"name": "red", "synonyms": ["crimson"]}


def test_a_radius_that_no_number_survives_is_none(tmp_path):
    with pytest.raises(PackageError, match="radius"):
        load_query(changed(tmp_path / "q", radius=1e-320))
    for radius in (1e-300, 5e-324, 1e-7):
        with pytest.raises(ValidationError, match="radius"):
            QueryCard.model_validate(json.loads((tmp_path / "q" / CARD).read_text()) | {"radius": radius})


def test_two_names_of_one_class_are_both_declined_by_what_is_no_secret(tmp_path):
    asks = load_query(changed(tmp_path / "q", query=[{"name": "red"}, {"name": "crimson"}, {"name": "blue"}]))
    ours = LabelSpace([SiteClass(name="red", synonyms=["crimson"]), "blue"])
    said = [Policy().decide(asks.card, label, ours) for label in asks.card.query]
    assert said == [Declined(SAME), Declined(SAME), "private_mean"]


def test_a_name_that_could_be_two_classes_takes_neither_with_it(tmp_path):
    asks = load_query(
        changed(tmp_path / "q", query=[{"name": "red", "system": "s", "code": "1"}, {"name": "b"}])
    )
    ours = LabelSpace([{"name": "a", "system": "s", "code": "1"}, {"name": "red"}, "b"])
    said = [Policy().decide(asks.card, label, ours) for label in asks.card.query]
    assert said == [Declined("more than one class of this site could be meant"), "private_mean"]


@pytest.mark.slow
@pytest.mark.parametrize("radius", [1e-320, 1e-300])
def test_a_radius_that_no_number_survives(radius, hospital, tmp_path, capfd):
    hospital.first(asked(tmp_path / "earlier"), tmp_path / "e", policy={"total_epsilon": 2.1, "epsilon": 1.0})
    code, told = hospital.answer(changed(tmp_path / "q", radius=radius), tmp_path / "a")
    assert code == 3 and told == {} and "radius" in capfd.readouterr().err
    spent = _spent(hospital, tmp_path, capfd)
    assert spent == pytest.approx(1.0, abs=0.01)


@pytest.mark.slow
def test_two_names_of_one_class_of_ours(hospital, tmp_path, capfd):
    twice = changed(tmp_path / "q", query=[{"name": "red"}, {"name": "crimson"}])
    ours = {"classes": [RED, "green"]}
    hospital.first(
        asked(tmp_path / "earlier"), tmp_path / "e", policy={"total_epsilon": 2.1, "epsilon": 1.0}, **ours
    )
    code, told = hospital.answer(twice, tmp_path / "a", **ours)
    assert code == 0 and told["declined"] == SAME
    assert _spent(hospital, tmp_path, capfd) == pytest.approx(1.0, abs=0.01)


@pytest.mark.slow
def test_a_class_beside_one_of_many_names_is_answered_for(hospital, tmp_path):
    both = changed(tmp_path / "q", query=[{"name": "crimson"}, {"name": "violet"}])
    told = hospital.first(both, tmp_path / "a", classes=[RED, "green"])
    assert told["kind"] == "private_mean"


def _spent(hospital: Hospital, folder: Path, capfd: pytest.CaptureFixture[str]) -> float:
    """What the ledger says; a question that was answered before costs nothing and shows it."""
    capfd.readouterr()
    hospital.answer(folder / "earlier", folder / "again", policy={"total_epsilon": 2.1, "epsilon": 1.0})
    told = " ".join(capfd.readouterr().err.split())
    return float(told.partition("Privacy budget: epsilon ")[2].split()[0])
