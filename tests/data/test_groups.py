"""Subgroups in a datalist."""

from __future__ import annotations

import json

import pytest
from PIL import Image

from clinical_qkt.core.errors import InputError
from clinical_qkt.data.datalist import load_datalist, parse_datalist
from clinical_qkt.data.groups import MOST
from clinical_qkt.data.label_space import LabelSpace
from tests.conftest import square


def listed(tmp_path, *groups):
    """A datalist whose test images have these groups; None for an image without."""
    entries = []
    for i, told in enumerate(groups):
        Image.fromarray(square("red", i)).save(tmp_path / f"{i}.png")
        entry = {"image": f"{i}.png", "label": "red"}
        entries.append(entry if told is None else {**entry, "groups": told})
    (tmp_path / "list.json").write_text(json.dumps({"test": entries}))
    return tmp_path / "list.json"


def test_groups_are_kept_by_image_and_in_the_sections_order(tmp_path):
    path = listed(tmp_path, {"sex": "F", "ward": 7}, None, {"sex": " M "})
    data = load_datalist(path, LabelSpace(["red"]), need=())
    assert data.groups_in("test") == [{"sex": "F", "ward": "7"}, {}, {"sex": "M"}]
    assert all("groups" not in item for item in data.items["test"]), "they ride in no batch"


@pytest.mark.parametrize("value", ["", "  ", None, "N/A", "NaN"])
def test_what_is_empty_or_a_mark_for_a_missing_value_is_not_told(tmp_path, value):
    assert parse_datalist(listed(tmp_path, {"sex": value})).test[0].groups == {}


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ([["F"]], "is no mapping of columns"),
        ([{"patient_id": "7"}], "'patient_id' names patients"),
        ([{"label": "red"}], "'label' is no group"),
        ([{" ": "F"}], "has no name"),
        ([{"age": 45.5}], "the value of 'age' is neither text nor a whole number"),
        ([{"smoker": True}], "the value of 'smoker' is neither text nor a whole number"),
        ([{"age": str(i)} for i in range(MOST + 1)], "'age' has 21 values.*age_band"),
        ([{"sex": "F"}, {"sex": "f"}], "two values of 'sex' differ in nothing but case"),
        ([{"note": "x" * 41}], "a value of 'note' is longer than 40"),
    ],
)
def test_what_are_no_groups_is_refused_with_the_field(tmp_path, groups, message):
    with pytest.raises(InputError, match=message) as e:
        parse_datalist(listed(tmp_path, *groups))
    assert "list.json" in e.value.where
