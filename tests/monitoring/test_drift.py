"""Does the test find what changed, and keep quiet where nothing did?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom

from clinical_qkt.monitoring.drift import RULES, drift
from tests.monitoring.conftest import drawn

FEW = {"unsure_below": 0.9, "permutations": 199}


def alarms(pairs, level=0.1):
    found = [drift(old, new, level=level, seed=i, **FEW) for i, (old, new) in enumerate(pairs)]
    return sum(min(f.p.values()) <= level for f in found)


def test_quiet_weeks_alarm_as_often_as_the_level_says_over_all_rules():
    weeks = 150
    found = alarms((drawn(150, 2 * i), drawn(40, 2 * i + 1)) for i in range(weeks))
    assert binom.ppf(0.001, weeks, 0.1) <= found <= binom.ppf(0.999, weeks, 0.1)


@pytest.mark.parametrize("moved", [1.0, -1.0])
def test_a_small_shift_of_all_images_is_found(moved):
    found = drift(drawn(300, 1), drawn(60, 2, moved=moved), level=0.01, seed=0, **FEW)
    assert found.p["look"] <= 0.01 and found.p["features"] <= 0.01 < found.p["certainty"]
    assert (np.sign(found.shift) == np.sign(moved)).all() and found.deviation["look"] > found.limit


def test_a_few_images_from_elsewhere_are_found_though_the_mean_hardly_moves():
    new = drawn(100, 2)
    new.look[:8] += np.random.default_rng(0).choice([-8, 8], (8, 3))
    found = drift(drawn(400, 1), new, level=0.01, seed=0, **FEW)
    assert found.p["look"] <= 0.01 < found.p["features"]


def test_a_model_that_becomes_less_sure_is_found():
    new = replace(drawn(100, 2), stated=np.random.default_rng(3).uniform(0.3, 0.8, 100))
    found = drift(drawn(300, 1), new, level=0.01, seed=0, **FEW)
    assert [r for r in RULES if found.p[r] <= 0.01] == ["certainty"]


def test_another_mix_of_classes_is_no_drift():
    mixed = ((drawn(300, 2 * i), drawn(80, 2 * i + 1, mix=[0.8, 0.15, 0.05])) for i in range(60))
    assert alarms(mixed) <= binom.ppf(0.999, 60, 0.1)


def test_images_of_one_patient_count_together():
    rng = np.random.default_rng(5)

    def of_patients(seed, patients, each=20):
        own = drawn(patients * each, seed, classes=1)
        who = np.repeat(np.arange(patients), each)
        return replace(own, look=own.look + rng.normal(0, 1, (patients, 3))[who], patient=who)

    def apart(seen):
        return replace(seen, patient=np.arange(len(seen)))

    pairs = [(of_patients(2 * i, 20), of_patients(2 * i + 1, 8)) for i in range(40)]
    assert alarms(pairs) <= binom.ppf(0.999, 40, 0.1)
    assert alarms((apart(a), apart(b)) for a, b in pairs) > 20


def test_images_called_what_the_reference_hardly_shows_are_left_out_and_counted():
    old, new = drawn(200, 1, classes=2), drawn(60, 2)
    found = drift(old, new, level=0.01, seed=0, **FEW)
    assert found.left_out == (new.called == 2).sum() > 0 and found.compared + found.left_out == 60
    assert drift(old, new.rows(new.called == 2), level=0.01, seed=0, **FEW) is None


def test_the_same_seed_gives_the_same_figures():
    one, two = (drift(drawn(100, 1), drawn(40, 2), level=0.01, seed=9, **FEW) for _ in range(2))
    assert one.p == two.p and one.limit == two.limit
