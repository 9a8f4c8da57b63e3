import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinical_qkt.packages import plain_json

TEXT = st.text(st.characters(codec=None, exclude_categories=()), max_size=20)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXT
VALUES = st.recursive(SCALARS, lambda v: st.lists(v, max_size=5) | st.dictionaries(TEXT, v, max_size=5))
STEERING = ("Cc", "Cf", "Cs", "Zl", "Zp")


def texts(value):
    if isinstance(value, dict):
        for key, part in value.items():
            yield key
            yield from texts(part)
    elif isinstance(value, list):
        for part in value:
            yield from texts(part)
    elif isinstance(value, str):
        yield value


@given(VALUES)
def test_any_value_comes_back_as_it_was_or_is_refused(value):
    try:
        read = plain_json.parse(json.dumps(value).encode())
    except ValueError:
        return
    assert read == json.loads(json.dumps(value))  # two halves of a character become the whole


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(raw):
    try:
        plain_json.problems(plain_json.parse(raw))
    except ValueError as e:
        assert str(e).isprintable()


@given(VALUES)
def test_nothing_that_is_code_or_steers_passes(value):
    if plain_json.problems(value):
        return
    for text in texts(value):
        assert not text.lstrip().startswith(("$", "@", "%")), text
        for c in text:
            assert unicodedata.category(c) not in STEERING or c in "\u200c\u200d", text


@given(VALUES, st.sampled_from(["$x", "@x", "%x", " $x", "a\x1b", "\u202e", "\ud800", "\u2028"]))
def test_one_bad_text_is_found_wherever_it_stands(value, bad):
    for whole in ([value, bad], {"a": value, "b": [bad]}, {"a": {bad: value}}):
        found = plain_json.problems(whole)
        assert found and all(problem.isprintable() for problem in found)


@pytest.mark.parametrize("key", ["_target_", "_disabled_", "_requires_", "_mode_", "_anything_"])
def test_directives_of_a_config_are_no_keys(key):
    assert "directive" in plain_json.problems({"network": {key: 1}})[0]
    assert not plain_json.problems({"network": key})


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b'{"a": 1, "a": 1}', "a key twice"),
        (b'{"a": NaN}', "NaN"),
        (b"[" * 100_000, "more than|nested"),
        (b"[" * 18 + b"]" * 18, "nested more than 16 deep"),
        (b"[" + b"[]," * 200_000 + b"1]", "more than 100,000 values"),
        (b'{"' + b"k" * 201 + b'": 1}', "a key of more than 200"),
        (b"1" * 19, "19 digits"),
        (b"\xff", "UTF-8"),
        (b"{'a': 1}", "JSON"),
    ],
)
def test_what_is_no_plain_json_is_refused_with_the_reason(raw, says):
    with pytest.raises(ValueError, match=says):
        plain_json.parse(raw)


def test_prose_may_have_lines_and_scripts_may_have_joiners():
    assert not plain_json.problems({"licence": "one\ntwo\tthree", "label": "\u0645\u06cc\u200c\u062e"})
    assert not plain_json.problems({"licence": ["one\ntwo", "three"]})
    assert plain_json.problems({"task": "one\ntwo"}) and plain_json.problems({"a": {"licence": "one\ntwo"}})


def test_problems_of_a_huge_card_are_bounded():
    assert len(plain_json.problems({"k" * 200: ["$"] * 50_000})) == plain_json.MOST_FOUND
