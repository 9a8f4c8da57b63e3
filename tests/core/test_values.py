"""A value is what its type says, or nothing."""

from __future__ import annotations

import datetime
from typing import Annotated, Any

import pytest
from pydantic import Field, ValidationError

from clinical_qkt.core.refusals import Origin, refused
from clinical_qkt.core.values import Number, Strict, day, number, read_value, true_or_false, whole_number


@pytest.mark.parametrize(
    ("given", "meant"),
    [(True, True), (False, False), ("true", True), ("TRUE", True), ("False", False), ("fAlSe", False)],
)
def test_true_and_false_are_read(given, meant):
    assert true_or_false(given) is meant


@pytest.mark.parametrize(
    "given", ["no", "yes", "on", "off", "0", "1", "maybe", "", " true", "t", 0, 1, 0.0, None, [], {}, [True]]
)
def test_nothing_else_is_true_or_false(given):
    with pytest.raises(ValueError, match="neither true nor false"):
        true_or_false(given)


@pytest.mark.parametrize("given", ["ten", "7", "1e3x", True, None, [1], "", "nan", "inf"])
def test_what_is_no_number_is_none(given):
    for read in (number, whole_number):
        with pytest.raises(ValueError, match="is no"):
            read(given)


def test_numbers_in_scientific_notation_are_numbers_wherever_they_stand():
    assert number("1e-5") == number("1.0E-05") == number(1e-5) == 0.00001
    with pytest.raises(ValueError, match="whole"):
        whole_number(2.0)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("false", "false"),
        ("True", True),
        ("8", 8),
        ("1e-5", 1e-5),
        ("007", "007"),
        ("", ""),
        ("packages/a", "packages/a"),
        ("[recv/x]", "[recv/x]"),
        ("['recv/x']", ["recv/x"]),
        ("[a,b]", ["a", "b"]),
        ("{a: 1}", {"a": 1}),
        ("ward #3", "ward #3"),
        ("[" * 3000, "[" * 3000),
    ],
)
def test_a_word_of_a_command_line_is_read_as_the_launcher_reads_it(text, read):
    assert read_value(text) == read and type(read_value(text)) is type(read)


class Section(Strict):
    switch: bool = False
    count: int = Field(default=3, ge=1)
    share: float | None = Field(default=0.5, lt=1)
    sizes: list[int] = Field(default=[28, 28], min_length=2)
    names: list[Annotated[str, Field(max_length=5)]] = Field(default=[])
    text: str = ""


@pytest.mark.parametrize(
    ("values", "problem", "fix"),
    [
        ({"switch": "no"}, "--s::switch: is neither true nor false (given: 'no')",
         "write --s::switch true or --s::switch false"),
        ({"count": 1.5}, "--s::count: is no whole number (given: 1.5)", "write, for example, --s::count 3"),
        ({"count": True}, "--s::count: is no whole number (given: true)", "write, for example, --s::count 3"),
        ({"count": 0}, "--s::count: must be at least 1 (given: 0)", "correct that on the command line"),
        ({"sizes": 96}, "--s::sizes: is no list (given: 96)", 'write --s::sizes "[96,96]"'),
        ({"sizes": "96"}, "--s::sizes: is no list (given: '96')", 'write --s::sizes "[96,96]"'),
        ({"sizes": "big"}, "--s::sizes: is no list (given: 'big')", 'write --s::sizes "[28,28]"'),
        ({"names": "[r/x]"}, "--s::names: is no list (given: '[r/x]')", "write --s::names \"['r/x']\""),
        ({"names": "a,b"}, "--s::names: is no list (given: 'a,b')", "write --s::names \"['a','b']\""),
        ({"text": 7}, "--s::text: is no text (given: 7)", "write --s::text \"'7'\""),
        ({"cuont": 7}, "--s::cuont: is an unknown key; did you mean 'count'? known: "
         "switch, count, share, sizes, names, text", "correct that on the command line"),
        ({"text": "x" * 5, "share": float("nan")}, "--s::share: must be finite (given: nan)",
         "correct that on the command line"),
    ],
)  # fmt: skip
def test_a_refusal_shows_the_value_and_the_form_that_works_on_a_command_line(values, problem, fix):
    error = refusal_of(values, Origin("somewhere", {f"s::{k}": v for k, v in values.items()}))
    assert (error.where, error.problem, error.fix) == ("the command line", problem, fix)


def test_a_refusal_names_the_file_that_the_value_stands_in():
    error = refusal_of({"sizes": 96}, Origin("somewhere", {}, {"site.yaml": {"s::sizes": None}}))
    assert error.where == "site.yaml" and "'sizes: [96, 96]'" in error.fix and "correct it" in error.fix
    assert refusal_of({"sizes": 96}, Origin("somewhere")).where == "somewhere"


def test_all_problems_are_told_at_once_without_web_links():
    error = refusal_of({"switch": 1, "count": "x", "names": ["too long"], "wrong": 1}, Origin("x.yaml"))
    assert all(f"s.{key}" in error.problem for key in ("switch", "count", "names.0", "wrong"))
    assert "http" not in str(error)


def refusal_of(values: dict[str, Any], origin: Origin) -> Any:
    with pytest.raises(ValidationError) as e:
        Section.model_validate(values)
    return refused(e.value, Section, origin, fix="it", inside=("s",))


def test_a_date_is_a_date_and_no_number_of_seconds():
    assert day("2026-11-01") == day(datetime.date(2026, 11, 1)) == datetime.date(2026, 11, 1)
    for given in (20261101, 86400, 0, True, "yesterday", "1.11.2026", "", datetime.datetime(2026, 11, 1, 9)):
        with pytest.raises(ValueError, match="is no date such as 2026-11-01"):
            day(given)


def test_numbers_below_keys_of_ones_own_are_read_as_strictly_as_others():
    class Shares(Strict):
        by_class: dict[str, Number]

    assert Shares(by_class={"a": 1, "b": "1e-3"}).by_class == {"a": 1.0, "b": 0.001}
    for given in ("0.5", True, None):
        with pytest.raises(ValidationError, match="is no number"):
            Shares(by_class={"a": given})
