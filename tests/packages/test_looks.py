"""Looks as packages tell them: what is told, what is held back, and what is refused."""

from __future__ import annotations

import io
import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from rich.console import Console

from clinical_qkt.core.errors import InputError
from clinical_qkt.data.inputs import InputContract
from clinical_qkt.data.label_space import ClassLabel
from clinical_qkt.data.look_shared import ClassLook, looks_of, spread_of
from clinical_qkt.networks.extractor import ExtractorSpec
from clinical_qkt.networks.spec import preset
from clinical_qkt.packages.inspect import leaves, print_card
from clinical_qkt.packages.looks import FEW, SentLooks
from clinical_qkt.packages.query import QueryCard

COLOUR = InputContract(channels=3, spatial_size=[28, 28])
EXTRACTOR = ExtractorSpec(network=preset("resnet_small", 3, [28, 28]), depths=["bn1"], pooled=32, features=32)
GREY = InputContract(channels=1, spatial_size=[28, 28])
LABELS = [ClassLabel(name="a"), ClassLabel(name="b", system="SCT", code="1"), ClassLabel(name="c")]


def look(count: int, seed: int = 0) -> ClassLook:
    source = torch.Generator().manual_seed(seed)
    return ClassLook(count, torch.randn(15, generator=source, dtype=torch.float64))


def told(fewest: int = 20, **changes) -> SentLooks | None:
    looks = {"a": look(19), "b": look(47, 1), "c": look(30, 2), "not ours": look(500)}
    return SentLooks.of(looks | changes, torch.full((15,), 0.2), LABELS, COLOUR, fewest)


def test_what_is_told_comes_back_but_for_digits_and_how_many_patients_there_were():
    sent = SentLooks.model_validate_json(told().model_dump_json())
    assert [c.label for c in sent.classes] == LABELS[1:] and [c.count for c in sent.classes] == [40, 30]
    torch.testing.assert_close(sent.looks["b"].numbers, look(47, 1).numbers, rtol=1e-5, atol=0)
    torch.testing.assert_close(sent.spreads, torch.full((15,), 0.2, dtype=torch.float64))


def test_a_class_of_too_few_patients_is_not_told():
    assert set(told(20).looks) == {"b", "c"} and set(told(31).looks) == {"b"} and told(48) is None
    few = told(5)
    assert set(few.looks) == {"a", "b", "c"}
    assert few.classes[0].count is None and few.looks["a"].count == FEW


def test_looks_that_were_measured_can_be_told_even_if_all_images_have_one_colour():
    numbers = COLOUR.look_of(torch.zeros(40, 3, 28, 28))
    found = looks_of(numbers, ["a"] * 40)
    sent = SentLooks.of(found, spread_of(numbers, ["a"] * 40), LABELS, COLOUR, 20)
    assert sent.obstacle(COLOUR) is None and float(sent.spreads.min()) > 0


@pytest.mark.parametrize(
    ("contract", "why"),
    [
        (COLOUR, None),
        (GREY, "15 numbers, 8 are needed"),
        (InputContract(channels=3, spatial_size=[28, 28], intensity="relative"), "not 'linear'"),
    ],
)
def test_looks_of_other_images_than_the_card_asks_for_are_found_out(contract, why):
    found = told().obstacle(contract)
    assert found is None if why is None else why in found


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("version",), "look/1"),
        (("scale",), "densities"),
        (("classes",), []),
        (("classes", 0, "label", "name"), "C"),
        (("classes", 0, "count"), 7),
        (("classes", 0, "numbers"), [0.1] * 8),
        (("classes", 0, "numbers", 3), float("nan")),
        (("classes", 0, "numbers", 3), 1e9),
        (("spread", 0), 0.0),
        (("spread", 0), -1.0),
        (("spread", 0), float("inf")),
        (("spread",), [0.1] * 8),
        (("more",), 1),
    ],
)
def test_looks_that_cannot_be_are_refused(place, value):
    facts = told().model_dump()
    at = facts
    for step in place[:-1]:
        at = at[step]
    at[place[-1]] = value
    with pytest.raises((ValidationError, InputError)):
        SentLooks.model_validate(facts)


anything = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers(-200, 200) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)
number = st.floats(-150, 150) | st.just(float("nan")) | st.just(float("inf"))
looking = st.fixed_dictionaries(
    {
        "version": st.sampled_from(["look/2", "look/2", "look/1"]),
        "scale": st.sampled_from(["optical density", "linear", "calibrated", "x"]),
        "classes": st.lists(
            st.fixed_dictionaries(
                {
                    "label": st.sampled_from(["a", "b", "c"]),
                    "count": st.none() | st.integers(0, 60),
                    "numbers": st.lists(number, min_size=8, max_size=8) | st.lists(number, max_size=3),
                }
            ),
            max_size=3,
        ),
        "spread": st.lists(st.floats(-1, 3), min_size=8, max_size=8),
    }
)


@settings(max_examples=60, deadline=None)
@given(anything | looking)
def test_whatever_is_sent_is_refused_or_can_be_computed_with(facts):
    try:
        sent = SentLooks.model_validate(facts)
    except (ValidationError, InputError):
        return
    assert json.loads(sent.model_dump_json()) and float(sent.spreads.min()) > 0
    for one in sent.looks.values():
        assert one.count >= FEW and torch.isfinite(one.numbers / sent.spreads).all()


def test_people_are_shown_what_each_number_of_a_look_is():
    out = Console(file=io.StringIO(), width=400)
    card = QueryCard(
        site="a", task="t", extractor=EXTRACTOR, input=COLOUR, query=["p"], welcome=["mean"], private_axes=1,
        radius=1.0, model_sha256="0" * 64, looks=told(),
    )  # fmt: skip
    print_card(out, card)
    text = out.file.getvalue()
    first = told().classes[0].numbers[0]
    assert f"mean red {first:.3g}, mean green" in text and "sharpness 6" in text
    assert "looks.classes.0.numbers" in text and "looks.spread" in text
    assert dict(leaves({"numbers": [1.0, 2.0]})) == {"numbers": "[1.0, 2.0]"}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"query": ["b"]}, "same class"),
        ({"input": GREY.model_copy(update={"intensity": "HU"})}, "are needed"),
        ({"looks": None, "others": [told()]}, "none of the student's"),
    ],
)
def test_a_query_with_looks_that_do_not_belong_to_it_is_refused(changes, why):
    about = {"site": "a", "task": "t", "extractor": EXTRACTOR, "input": COLOUR, "query": ["p"]}
    about |= {
        "welcome": ["mean"],
        "private_axes": 1,
        "radius": 1.0,
        "model_sha256": "0" * 64,
        "looks": told(),
    }
    QueryCard(**about)
    with pytest.raises((ValidationError, InputError), match=why):
        QueryCard(**about | changes)


def test_a_query_that_tells_no_looks_says_nothing_of_them():
    about = {"site": "a", "task": "t", "extractor": EXTRACTOR, "input": COLOUR, "query": ["p"]}
    about |= {"welcome": ["mean"], "private_axes": 1, "radius": 1.0, "model_sha256": "0" * 64}
    assert not {"looks", "others"} & set(QueryCard(**about).facts())
