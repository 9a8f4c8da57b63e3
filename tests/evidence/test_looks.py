"""Whether other hospitals' images look different, and whether that speaks against a model."""

import pytest

from clinical_qkt.evidence import looks
from clinical_qkt.evidence.acceptance import LookLimits
from clinical_qkt.evidence.evaluation import Criterion
from tests.review.report.evidence import looking

LIMITS = LookLimits(distance_without_map=0.5, residual=0.5, length=1.2, class_apart=2)


def criteria(recall="met", alarms="met"):
    about = {"bound": "at least", "limit": 50, "measured": 0.9, "ci95": [0.8, 1.0], "images": 50}
    return [
        Criterion(name=name, outcome=outcome, written_by="software", **about)
        for name, outcome in (("query_recall", recall), ("false_alarms", alarms))
    ]


@pytest.mark.parametrize(
    ("told", "outcome"),
    [
        ({"distance": 0.1}, "alike"),
        ({"distance": 0.51}, "beyond the limits"),
        ({"distance": None}, "not known"),
        ({"distance": 9.0, "mapped": True, "left": 0.5}, "within the limits"),
        ({"distance": 9.0, "mapped": True, "left": 0.51}, "beyond the limits"),
        ({"distance": 9.0, "mapped": True, "shared": []}, "beyond the limits"),
        ({"distance": 0.4, "mapped": True, "shared": []}, "within the limits"),
        ({"distance": 0.1, "length": 1.3, "query": "dog"}, "beyond the limits"),
        ({"distance": None, "length": 1.3, "query": "dog"}, "beyond the limits"),
    ],
)
def test_a_site_is_judged_by_what_is_left_or_else_by_the_difference(told, outcome):
    assert looks.outcome(LIMITS, looking(**told)) == outcome


@pytest.mark.parametrize(
    ("distance", "recall", "alarms", "verdict"),
    [
        (0.1, "undecided", "met", "cannot be decided"),
        (5.0, "undecided", "met", "not accepted"),
        (5.0, "met", "met", "accepted"),
        (5.0, "met", "undecided", "cannot be decided"),
        (None, "met", "met", "accepted"),
    ],
)
def test_beyond_the_limits_a_model_is_refused_unless_test_images_show_that_it_works(
    distance, recall, alarms, verdict
):
    found = looks.judged(LIMITS, [looking(distance=distance)])
    assert looks.decided(found, criteria(recall, alarms)) == verdict


def test_the_worst_of_what_was_used_counts():
    far, near = looking(distance=9.0), looking(distance=0.1)
    assert looks.together(looks.judged(LIMITS, [near, far]).sites) == "beyond the limits"
    unused = far.model_copy(update={"used": False})
    assert looks.together(looks.judged(LIMITS, [near, unused]).sites) == "alike"
    assert looks.together([]) == "not known" and looks.decided(None, criteria()) == "accepted"


def test_a_class_that_looks_otherwise_than_its_sites_others_is_named_and_decides_nothing():
    found = looks.judged(LIMITS, [looking(apart={"ape": 0.2, "bee": 2.1})])
    assert looks.odd_classes(found) == [("hospital_2", "bee")] and found.sites[0].outcome == "alike"
