"""Licences of models that were made of several."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from clinical_qkt.core.errors import InputError
from clinical_qkt.packages.inspect import leaves
from clinical_qkt.packages.licences import LONGEST, MOST, MOST_LETTERS, Licences, joined


class Held(BaseModel):
    licence: Licences


TEXTS = st.lists(st.text(max_size=4), min_size=1, max_size=4, unique=True)


@given(st.lists(TEXTS, min_size=1, max_size=5))
def test_whatever_is_joined_can_be_held_and_nothing_is_lost_or_said_twice(each):
    found = joined((f"site {i}", texts) for i, texts in enumerate(each))
    assert Held(licence=found).licence == found
    assert set(found) == {text for texts in each for text in texts} and len(set(found)) == len(found)
    assert found[: len(each[0])] == each[0]


@pytest.mark.parametrize(
    "texts",
    [[], ["a", "a"], ["a" * (LONGEST + 1)], [str(i) for i in range(MOST + 1)],
     [f"{i}{'x' * (LONGEST - 1)}" for i in range(6)], [1], None, {"a": 1}],
)  # fmt: skip
def test_too_much_and_what_is_no_text_is_refused(texts):
    with pytest.raises(ValidationError):
        Held(licence=texts)


def test_one_text_as_cards_had_before_is_a_list_of_one():
    assert Held(licence="CC BY 4.0; not for sale").licence == ["CC BY 4.0; not for sale"]


def test_more_than_a_card_takes_is_told_with_whose_is_longest():
    many = [(f"site {i}", [f"{i}" * 15_000]) for i in range(6)]
    assert sum(len(texts[0]) for _, texts in many) <= MOST_LETTERS
    joined(many)
    with pytest.raises(InputError, match="package of hospital_x: licence: .* are 7 texts"):
        joined([*many, ("hospital_x", ["x" * 19_000])])
    with pytest.raises(InputError, match="are 201 texts"):
        joined((f"site {i}", [str(i)]) for i in range(MOST + 1))


def test_each_is_shown_in_a_row_of_its_own():
    shown = dict(leaves({"licence": ["CC BY, 4.0", "ours"], "depths": ["layer1"], "welcome": []}))
    assert shown == {"licence.0": "CC BY, 4.0", "licence.1": "ours", "depths": "layer1", "welcome": "–"}
