"""The site's rule as a person writes it; how it is held against figures: tests/evidence/test_criteria.py."""

import datetime

import pytest
from pydantic import ValidationError

from clinical_qkt.evidence.acceptance import Acceptance, TestImages


def test_a_rule_that_makes_no_sense_is_refused():
    for wrong in ({"query_recall": 101}, {"recall": 50}, {"false_alarms": -1}, {"date": "soon"}):
        with pytest.raises(ValidationError):
            Acceptance(**wrong)


def test_unless_told_otherwise_five_of_a_hundred_others_may_be_called_so():
    assert Acceptance().false_alarms == 5
    assert Acceptance().limits(2.0) == {
        "forgetting": 2.0,
        "query_recall": 50.0,
        "false_alarms": 5.0,
        "worst_forgetting": 10.0,
        "calibration_error": 15.0,
    }


def test_it_is_known_which_limits_the_hospital_wrote_even_where_they_are_the_default():
    assert Acceptance().written() == frozenset()
    assert Acceptance(false_alarms=5.0, date="2026-11-01").written() == {"false_alarms"}
    assert Acceptance(date="2026-11-01").date == datetime.date(2026, 11, 1)


def test_another_limit_is_another_rule_and_another_date_is_not():
    one = Acceptance(false_alarms=3)
    assert one.digest(2.0) == Acceptance(false_alarms=3.0, date="2026-11-01").digest(2.0)
    assert len({one.digest(2.0), one.digest(1.0), Acceptance(false_alarms=4).digest(2.0)}) == 3


def test_limits_of_looks_make_another_rule_only_where_somebody_changed_them():
    before = "4d267eadabe7bd1f1eadeaead2a917d4c290fc2e6b0c49ec7346d19f4062f79a"
    assert Acceptance().digest(2.0) == Acceptance(looks={"residual": 1.5}).digest(2.0) == before
    assert Acceptance(looks={"residual": 0.4}).digest(2.0) != Acceptance().digest(2.0)
    with pytest.raises(ValidationError):
        Acceptance(looks={"residal": 0.4})


def test_where_test_images_come_from_is_told_in_words_or_not_at_all():
    assert TestImages().origin == ""
    assert TestImages(labelled_by="  two haematologists ").labelled_by == "two haematologists"
    with pytest.raises(ValidationError):
        TestImages(scanner="X")
