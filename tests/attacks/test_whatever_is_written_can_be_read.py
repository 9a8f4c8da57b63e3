"""Promise: no text on a teacher's card, however long or odd, makes the student's own new model unreadable."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clinical_qkt.core.errors import InputError
from clinical_qkt.data.inputs import InputContract
from clinical_qkt.data.label_space import LabelSpace
from clinical_qkt.networks.spec import NetworkSpec, find_head
from clinical_qkt.packages.card import Card
from clinical_qkt.packages.model import Model, load_model, save_model
from clinical_qkt.packages.writer import CARD
from clinical_qkt.qkt.teachers import Teacher, committee, read_teachers
from tests.conftest import reseal

SPEC = NetworkSpec(
    name="DenseNet121", spatial_dims=2, in_channels=1,
    args={"init_features": 2, "growth_rate": 1, "block_config": [1]},
)  # fmt: skip
NETWORK = SPEC.build(2).eval()
EXPECTS = InputContract(channels=1, spatial_size=[8, 8])


def card(site: str = "us", **more: Any) -> Card:
    about: dict[str, Any] = {"site": site, "task": "t", "label_space": ["a", "b"], "network": SPEC}
    return Card(**about | more, head=find_head(NETWORK), input=EXPECTS)


def with_licence(folder: Path, site: str, licence: str) -> Path:
    """A teacher's package, as whoever is not bound by our writer makes it."""
    save_model(folder, NETWORK, card(site, label_space=["b", site]))
    told = json.loads((folder / CARD).read_text())
    (folder / CARD).write_text(json.dumps(told | {"licence": licence, "format": "clinical-qkt/model/1"}))
    reseal(folder)
    return folder


def gained(own: Path, teachers: list[Path]) -> Model:
    """The student's model and its teachers' as one network, as ``transfer`` makes it."""
    read = read_teachers(teachers, LabelSpace(["a", "b"]))
    known = [Teacher(model.model, model.columns, torch.ones(2), [True, True]) for model in read]
    return committee(load_model(own), known, LabelSpace(["a", "b"]))


def test_a_teacher_with_a_licence_of_20000_letters_does_not_break_the_students_model(tmp_path):
    save_model(tmp_path / "own", NETWORK, card())
    made = gained(tmp_path / "own", [with_licence(tmp_path / "t", "t", "x" * 20_000)])
    save_model(tmp_path / "new", made.network, made.card)
    assert "x" * 20_000 in load_model(tmp_path / "new").card.licence


def test_a_model_of_a_model_of_others_keeps_each_licence_once(tmp_path):
    save_model(tmp_path / "own", NETWORK, card())
    teachers = [with_licence(tmp_path / f"t{i}", f"t{i}", licence) for i, licence in enumerate("xyx")]
    made = gained(tmp_path / "own", teachers)
    assert made.card.licence == ["all rights reserved by the sending site", "x", "y"]


def test_too_many_long_licences_are_told_before_any_work_with_the_site_that_sent_the_longest(tmp_path):
    save_model(tmp_path / "own", NETWORK, card())
    teachers = [with_licence(tmp_path / f"t{i}", f"t{i}", str(i) * 19_000) for i in range(5)]
    with_licence(tmp_path / "t5", "t5", "5" * 20_000)
    with pytest.raises(InputError, match="package of t5: licence: the licences of all models"):
        gained(tmp_path / "own", [*teachers, tmp_path / "t5"])


TEXT = st.text(st.characters(codec=None), max_size=30) | st.sampled_from(
    ["x" * 1001, "x" * 20_001, "$(x)", "a\nb", "a\x1b[2J", "\ud800", "\u202eabc", "é" * 400_000]
)
VALUES: dict[str, Any] = {
    "licence": TEXT | st.lists(TEXT, max_size=3) | st.just([str(i) + "x" * 999 for i in range(101)]),
    "intended_use": TEXT,
    "task": TEXT,
    "created": TEXT | st.dates().map(str),
    "head": TEXT,
    "recall": st.dictionaries(TEXT, st.floats() | st.floats(0, 1), max_size=2),
    "generated_data": st.booleans() | st.none() | st.integers(),
    "training": st.just({"images": {"a": -1}, "epochs": 10**20}),
    "precision": st.sampled_from(["float32", "float16", "float8"]),
    "label_space": st.sampled_from([[], [{"name": "a"}] * 2, [{"name": "a"}], [{"name": "$a"}] * 2]),
}
CHANGES = st.lists(st.sampled_from(sorted(VALUES)), max_size=2).flatmap(
    lambda fields: st.fixed_dictionaries({field: VALUES[field] for field in fields})
)


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=CHANGES)
def test_any_card_that_the_writer_takes_the_reader_takes(changes, tmp_path):
    try:
        save_model(tmp_path / "m", NETWORK, card().model_copy(update=changes))
    except InputError:
        return
    read = load_model(tmp_path / "m").card
    assert all(getattr(read, field) == value for field, value in changes.items() if field != "software")


def test_weights_that_are_not_finite_are_not_written(tmp_path):
    network = SPEC.build(2)
    with torch.no_grad():
        next(network.parameters()).fill_(torch.nan)
    save_model(tmp_path / "m", NETWORK, card())
    with pytest.raises(InputError, match="holds NaN or infinity"):
        save_model(tmp_path / "m", network, card())
    assert load_model(tmp_path / "m").card.site == "us"  # the one before is there still
    assert [p.name for p in tmp_path.iterdir()] == ["m"]
