import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinical_qkt.evidence import base_rates


def test_predictive_values_are_bayes_theorem_counted_out():
    """Of 100,000 images 1,000 show the class: 900 are found, and 4,950 of the other 99,000 called so."""
    found = base_rates.at(0.01, 0.9, 0.05, [0.85, 0.95], [0.03, 0.08])
    assert found.ppv == pytest.approx(900 / 5850)
    assert found.npv == pytest.approx(94050 / 94150)
    assert found.false_alarms_per_1000 == pytest.approx(49.5)
    assert found.missed_per_1000 == pytest.approx(1.0)
    assert found.ppv_ci95 == pytest.approx([850 / (850 + 7920), 950 / (950 + 2970)])


@settings(max_examples=100, deadline=None)
@given(st.floats(0.0005, 0.9995), *[st.lists(st.floats(0, 1), min_size=3, max_size=3)] * 2)
def test_every_figure_lies_within_its_interval(prevalence, found, alarms):
    (low, s, high), (few, f, many) = sorted(found), sorted(alarms)
    row = base_rates.at(prevalence, s, f, [low, high], [few, many])
    for key in ("ppv", "npv", "false_alarms_per_1000", "missed_per_1000"):
        a, b = getattr(row, f"{key}_ci95")
        assert getattr(row, key) is None or a - 1e-9 <= getattr(row, key) <= b + 1e-9


def test_where_the_class_is_rarer_fewer_of_those_named_so_are_right():
    rungs = base_rates.ladder(np.arange(100) < 95, np.arange(300) < 9, None)
    assert [r.prevalence for r in rungs] == [0.5, 0.1, 0.05, 0.01, 0.001]
    values = [r.ppv for r in rungs]
    assert values == sorted(values, reverse=True) and values[0] > 0.9 and values[-1] < 0.1
    assert not any(r.own for r in rungs)


def test_the_sites_own_prevalence_stands_first_and_once():
    rungs = base_rates.ladder(np.ones(20, bool), np.zeros(20, bool), 1.0)
    assert [(r.own, r.prevalence) for r in rungs][:2] == [(True, 0.01), (False, 0.5)]
    assert len(rungs) == 5


def test_without_images_of_the_class_or_of_others_nothing_is_said():
    some, none = np.ones(5, bool), np.zeros(0, bool)
    assert base_rates.ladder(none, some, 1.0) == base_rates.ladder(some, none, 1.0) == []


def test_patients_make_the_intervals_wider():
    found, alarms = np.arange(100) < 90, np.arange(100) < 10
    who = np.repeat(np.arange(20), 5)
    image, patient = (base_rates.ladder(found, alarms, 2.0, w)[0] for w in (None, (who, who)))
    assert patient.ppv_ci95[0] < image.ppv_ci95[0]
