"""A site measures another one's new model: what leaves, what does not, and what is told of it again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from clinical_qkt.assessment.assessing import Assessing, require_assessable
from clinical_qkt.core.errors import InputError, PackageError, QueryError
from clinical_qkt.data.datalist import load_datalist
from clinical_qkt.data.inputs import InputContract
from clinical_qkt.packages.assessment import AssessmentCard, load_assessment
from clinical_qkt.packages.model import load_model
from clinical_qkt.site.ledger.ledger import Ledger
from tests.assessment.hospital import SIZE, images, new_model, site


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return images(tmp_path_factory.mktemp("site_b"), red=50, green=45, blue=52)


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return new_model(tmp_path_factory.mktemp("m") / "new")


def assessing(data: Path, model: Path, out: Path, *, trust: Any = None, yes: bool = True, **changes: Any):
    who = site(data, out, **changes)
    loaded = load_datalist(who.data, who.labels, need=())
    new = not Ledger(who.ledger).is_begun()
    return Assessing(who, load_model(model, trust), loaded, yes=yes, new_ledger=new)


def told(made: Assessing, out: Path, wrong: int = 0) -> AssessmentCard:
    """The assessment of a model that is right but for so many of the first images, which it calls blue."""
    made.require_admitted()
    named = [2] * wrong + [item["label"] for item in made.items][wrong:]
    return made.tell(named, out)


def test_what_leaves_is_what_was_measured_in_rounded_counts(data, model, tmp_path):
    made = assessing(data, model, tmp_path)
    card = told(made, tmp_path / "a", wrong=8)
    found = load_assessment(tmp_path / "a", model_sha256=made.card.weights_sha256, gained=["blue"]).card
    assert found == card and found.site == "site_b" and found.task == "blood_cell_classification"
    (blue,) = found.classes
    assert (blue.images, blue.patients, blue.recall, blue.called) == (50, 25, 100, 5)
    assert (found.others.images, found.others.patients) == (95, 45)
    (left,) = Ledger(tmp_path / "ledger.db").lines("departures")
    assert (left["kind"], left["sent_to"]) == ("assessment", "student")


def test_neither_names_nor_exact_counts_reach_package_or_ledger(data, model, tmp_path, capsys):
    told(assessing(data, model, tmp_path), tmp_path / "a", wrong=8)
    seen = b"".join(p.read_bytes() for p in (*(tmp_path / "a").iterdir(), tmp_path / "ledger.db"))
    assert b"blue-1" not in seen and b"blue001" not in seen and str(data.parent).encode() not in seen
    assert "26 patients" in capsys.readouterr().err  # shown to whoever agrees, here


def test_the_same_model_gets_the_same_figures_for_nothing_and_further_ones_are_few(data, tmp_path):
    models = [new_model(tmp_path / f"m{i}", seed=i) for i in range(3)]
    first = told(assessing(data, models[0], tmp_path), tmp_path / "a0")
    again = told(assessing(data, models[0], tmp_path), tmp_path / "a1", wrong=20)
    assert again.classes == first.classes
    assert told(assessing(data, models[1], tmp_path), tmp_path / "a2", wrong=20).classes != first.classes
    with pytest.raises(QueryError, match="measures no further model of this asker"):
        assessing(data, models[2], tmp_path).require_admitted()
    assert told(assessing(data, models[1], tmp_path), tmp_path / "a3").classes[0].called == 20
    lines = [x for x in Ledger(tmp_path / "ledger.db").lines() if x["kind"] == "assessment"]
    assert len(lines) == 2


def test_a_class_under_another_name_or_a_stranger_under_another_name_gets_no_further_one(data, tmp_path):
    one: dict[str, Any] = {"assess": {"assessments_per_query": 1}}
    one["classes"] = ["red", "green", {"name": "blue", "synonyms": ["azure"]}]
    told(assessing(data, new_model(tmp_path / "m0"), tmp_path, **one), tmp_path / "a0")
    other = new_model(tmp_path / "m1", label_space=["red", "green", "azure"], gained=["azure"])
    with pytest.raises(QueryError, match="no further model"):
        assessing(data, other, tmp_path, **one).require_admitted()

    fresh, trust = tmp_path / "fresh", site(data, tmp_path).trust  # it takes packages that nobody vouches for
    second = images(tmp_path / "other", red=30, green=30, blue=30, patients=False, first=100)
    two = new_model(tmp_path / "m2", site="stranger"), new_model(tmp_path / "m3", seed=1, site="nobody")
    who: dict[str, Any] = {"site": "site_c", "trust": trust, **one}
    told(assessing(second, two[0], fresh, **who), fresh / "a")
    with pytest.raises(QueryError, match="no further model"):
        assessing(second, two[1], fresh, **who).require_admitted()


def test_a_second_place_notices_that_a_line_was_lost(data, tmp_path):
    told(assessing(data, new_model(tmp_path / "m0"), tmp_path), tmp_path / "a")
    copy = (tmp_path / "ledger.db").read_bytes()
    told(assessing(data, new_model(tmp_path / "m1", seed=1), tmp_path), tmp_path / "b")
    (tmp_path / "ledger.db").write_bytes(copy)
    with pytest.raises(Exception, match="is older than it was"):
        assessing(data, new_model(tmp_path / "m2", seed=2), tmp_path).require_admitted()


def test_what_may_not_be_told_is_declined_before_any_work(data, model, tmp_path):
    with pytest.raises(QueryError, match="not on this site's list"):
        assessing(data, model, tmp_path, policy={"may_ask": ["site_c"]}).require_admitted()
    few = assessing(data, model, tmp_path, assess={"minimum_images": 60})
    few.require_admitted()
    with pytest.raises(QueryError, match="fewer than 60 patients"):
        few.tell([item["label"] for item in few.items], tmp_path / "a")
    assert not (tmp_path / "a").exists()
    other = assessing(data, new_model(tmp_path / "m", label_space=["p", "q"], gained=["q"]), tmp_path)
    with pytest.raises(QueryError, match="no test image shows a class of this model"):
        _ = other.items


def test_nothing_leaves_without_a_yes(data, model, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    made = assessing(data, model, tmp_path, yes=False)
    made.new_ledger = True
    made.require_admitted()
    with pytest.raises(InputError, match="nobody is there to agree"):
        made.tell([0] * len(made.items), tmp_path / "a")
    assert not (tmp_path / "a").exists() and Ledger(tmp_path / "ledger.db").lines() == []


def test_a_model_that_takes_other_images_or_gained_nothing_is_refused(model, tmp_path):
    own = InputContract(channels=3, spatial_size=SIZE)
    require_assessable(load_model(model), own)
    with pytest.raises(PackageError, match="dimensions"):
        require_assessable(load_model(model), InputContract(channels=3, spatial_size=[8, 8, 8]))
    trained = new_model(tmp_path / "m", gained=[])
    with pytest.raises(PackageError, match="names no class that it gained"):
        require_assessable(load_model(trained), own)


def test_classes_are_aligned_by_what_the_assessing_site_declares(data, tmp_path):
    codes = {"system": "SCT", "code": "1"}
    other = new_model(
        tmp_path / "m", label_space=["red", "verde", {"name": "azul", **codes}], gained=["azul"]
    )
    declared = [{"name": "red"}, {"name": "green", "synonyms": ["verde"]}, {"name": "blue", **codes}]
    made = assessing(data, other, tmp_path, classes=declared)
    assert made.places == {0: 0, 1: 1, 2: 2}
    merged = [{"name": "red", "merges": ["verde"]}, "green", {"name": "blue", **codes}]
    assert assessing(data, other, tmp_path, classes=merged).places == {2: 2}  # red could be either
