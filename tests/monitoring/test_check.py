"""The verdict, and when the model is to be switched off."""

from __future__ import annotations

import numpy as np
import pytest

from clinical_qkt.monitoring.check import checked, switch_off
from clinical_qkt.monitoring.reference import About, Reference, as_baseline, counts_of
from clinical_qkt.site.monitoring_limits import SHARES, Monitoring
from tests.monitoring.conftest import check_of, drawn

NAMES = ["cat", "dog", "eel"]


def reference(images=300, seed=1, *, wrong=0) -> Reference:
    """Of an acceptance: true classes are those that were called, but for some."""
    seen = drawn(images, seed)
    truth = seen.called.copy()
    truth[:wrong] = (truth[:wrong] + 1) % 3
    counted, units = counts_of(seen, NAMES, by_patient=False)
    about = About(
        kind="acceptance", name="acceptance", weights_sha256="0" * 64, data_sha256="1" * 64, classes=NAMES,
        patients_named=False, unreadable=0, listed=images, counted=counted, units=units,
    )  # fmt: skip
    return Reference(about, seen, truth, np.eye(5))


def judged(new, yardstick=None, unreadable=0, earlier=(), rules=None, by_patient=False, **prevalence):
    return checked(
        "now", new, unreadable, yardstick or reference(), rules or Monitoring(), by_patient=by_patient,
        channels=1, prevalence=prevalence, earlier=earlier, seed=0, permutations=999,
    )  # fmt: skip


def baseline(images=300):
    facts = {"patients_named": False, "unreadable": 0, "listed": images}
    return as_baseline(reference(), drawn(images, 3), "first", 0, **facts)


def test_nothing_new_is_quiet_and_counts_are_not_judged_by_test_images():
    check = judged(drawn(100, 2))
    assert (check.verdict, check.alarms, check.switch_off) == ("quiet", [], [])
    assert {c.high for c in check.counts.values()} == {None}


def test_a_first_period_judges_counts():
    more = drawn(100, 2, mix=[0.9, 0.05, 0.05])
    check = judged(more, baseline())
    assert check.alarms == ["counts"] and check.counts["cat"].outside and check.counts["dog"].outside
    assert judged(more).verdict == "quiet"


def test_a_declared_prevalence_judges_the_queried_class_alone():
    check = judged(drawn(400, 2, mix=[0.2, 0.2, 0.6]), reference(wrong=10), eel=10)
    assert check.alarms == ["counts"] and check.counts["eel"].outside and check.counts["cat"].high is None


def test_too_few_images_are_said_to_be_too_few():
    check = judged(drawn(29, 2, moved=9))
    assert (check.verdict, check.alarms, check.images_changed) == ("too few images", [], {})
    assert judged(drawn(30, 2, moved=9)).verdict == "alarm"


def test_files_that_cannot_be_read_alarm_though_too_few_are_left_to_be_compared():
    assert judged(drawn(10, 2), unreadable=90).alarms == ["unreadable"]
    assert judged(drawn(99, 2), unreadable=1).verdict == "quiet"


def test_counts_of_patients_are_not_held_against_counts_of_images():
    check = judged(drawn(100, 2, mix=[0.9, 0.05, 0.05]), baseline(), by_patient=True)
    assert check.unit == "patient" and check.counts["cat"].high is None and "counts" not in check.alarms


def test_an_unlikely_change_switches_off_at_once():
    assert switch_off(check_of("w2", ("look",), p=0.0005), [], Monitoring())
    assert not switch_off(check_of("w2", ("look",), p=0.002), [], Monitoring())


@pytest.mark.parametrize(
    ("before", "off"),
    [
        ([("look",)], True),
        ([("counts",)], False),
        ([("look",), ()], False),
        ([], False),
    ],
)
def test_the_same_rule_must_alarm_twice_in_a_row(before, off):
    earlier = [check_of(f"w{i}", alarms, p=0.005) for i, alarms in enumerate(before)]
    assert bool(switch_off(check_of("now", ("look",), p=0.005), earlier, Monitoring())) is off


def test_a_check_of_too_few_images_does_not_end_a_row_of_alarms():
    earlier = [check_of("w1", ("look",), p=0.005), check_of("w2", verdict="too few images")]
    assert switch_off(check_of("w3", ("look",), p=0.005), earlier, Monitoring())


def test_all_rules_together_have_the_false_alarms_that_the_site_allows():
    rules = Monitoring(quiet_checks=50)
    assert sum(rules.level(part, with_counts=True) for part in SHARES) == pytest.approx(1 / 50)
    without = [rules.level(part, with_counts=False) for part in ("images", "unreadable")]
    assert sum(without) == pytest.approx(1 / 50)
