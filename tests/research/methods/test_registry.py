"""A method is one decorated function in one file of the folder; nothing else has to know of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel, Field

from clinical_qkt.core.values import Strict
from clinical_qkt.research import methods
from clinical_qkt.research.benchmark import tables
from clinical_qkt.research.methods import METHODS
from clinical_qkt.research.methods.case import Case, Outcome
from clinical_qkt.research.methods.registry import family_of, method


class Settings(Strict):
    patience: int = Field(default=3, ge=1)


def rival(case: Case, settings: Settings) -> Outcome:
    raise AssertionError("is not run here")


@pytest.fixture
def register():
    """What is registered in a test is gone afterwards."""
    before = dict(METHODS)
    yield method
    METHODS.clear()
    METHODS.update(before)


def test_each_method_is_one_file_of_the_folder_and_each_decorated_file_a_method():
    folder = Path(methods.__file__).parent
    decorated = {p.stem for p in folder.glob("*.py") if 'method("' in p.read_text()}
    assert {m.run.__module__.rpartition(".")[2] for m in METHODS.values()} == decorated
    assert len(METHODS) == len(decorated) > 10


def test_settings_are_those_of_the_annotation(register):
    register("patient", family="fusion")(rival)
    assert METHODS["patient"].settings is Settings and METHODS["patient"].run is rival


def test_a_name_is_given_once(register):
    with pytest.raises(ValueError, match=r"'local' is in clinical_qkt\.research\.methods\.local already"):
        register("local", family="bound")(rival)


class Lenient(BaseModel):
    """Would take an unknown key without a word."""


def lenient(case: Case, settings: Lenient) -> Outcome: ...


def without_settings(case: Case) -> Outcome: ...


def untyped(case, settings): ...


@pytest.mark.parametrize("run", [lenient, without_settings, untyped])
def test_a_function_of_something_else_is_refused(register, run):
    with pytest.raises(TypeError, match="a function of a Case and of settings that are Strict"):
        register("other", family="fusion")(run)
    assert "other" not in METHODS


def test_a_rival_that_is_registered_counts_in_the_margins_of_its_family(register):
    def rows(of: str):
        return [
            {
                "seed": 0,
                "student": "a",
                "query": ["x"],
                "variant": v,
                "method": m,
                "query_recall_at_budget": r,
            }
            for v, m, r in (("distil", "qkt", 0.9), ("other", of, 0.4))
        ]

    assert tables.margins(rows("patient")) == [] and family_of("patient") is None  # unknown: of no family
    register("patient", family="fusion")(rival)
    assert "distil above the mean of other: 50.0" in "\n".join(tables.margins(rows("patient")))
