"""The decision: what speaks against a model, each part of the rule by itself."""

import re

import pytest
from pydantic import ValidationError

from clinical_qkt.acceptance import Acceptance, decision

RULE = Acceptance(query_recall=60, worst_forgetting=5, calibration_error=10)


def decided(recall=0.9, low=0.7, mean=0.01, worst=0.04, error=0.05, rule=RULE):
    after = {
        "query_recall": recall,
        "query_recall_ci95": None if recall is None else [low, 1.0],
        "calibration": {"error": error},
    }
    lost = {"mean": mean, "worst": worst, "per_class": {"a": 0.0, "b": worst}}
    return decision(after, lost, 2.0, rule)


def test_a_model_that_keeps_every_part_of_the_rule_is_accepted():
    found = decided()
    assert found["accepted"] and found["against"] == []
    assert found["budget"] == {"forgetting": 2.0} and found["acceptance"] == RULE.model_dump()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"recall": None}, "what was gained is unknown"),
        ({"recall": 0.0, "low": 0.0}, "no test image of the queried classes is recognised"),
        ({"low": 0.59}, "only 59 of 100 images .* at least 60 are asked for"),
        ({"mean": None, "worst": None}, "what was lost is unknown"),
        ({"mean": 0.03}, "3.0 points of recall were lost on average, 2 were allowed"),
        ({"worst": 0.06}, "b lost 6.0 points of recall, 5 were allowed"),
        ({"error": 0.11}, "off by 11.0 points on average, 10 were allowed"),
    ],
)
def test_each_part_of_the_rule_can_speak_against_it_alone(changes, reason):
    found = decided(**changes)
    assert not found["accepted"] and len(found["against"]) == 1
    assert re.search(reason, found["against"][0])


def test_all_that_speaks_against_it_is_told():
    assert len(decided(low=0.1, mean=0.1, worst=0.2, error=0.5)["against"]) == 4


def test_a_rule_that_makes_no_sense_is_refused():
    with pytest.raises(ValidationError):
        Acceptance(query_recall=101)
    with pytest.raises(ValidationError):
        Acceptance(recall=50)
