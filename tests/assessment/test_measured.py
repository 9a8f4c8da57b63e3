"""Counts of what a model gets right, and what of them leaves."""

from __future__ import annotations

import numpy as np

from clinical_qkt.assessment.measured import figures, measured
from clinical_qkt.site.assess import Assess

TRUTH = np.repeat([0, 1, 2], [40, 30, 27])


def test_false_alarms_are_counted_on_the_classes_known_before_alone():
    named = TRUTH.copy()
    named[:8] = 2  # of red, called blue
    named[40:43] = 0
    named[-2:] = 1
    found = measured(TRUTH, named, None, gained=[1, 2])
    assert found.others.images == 40 and found.classes[2].called == 8 and found.classes[1].called == 0
    assert (found.classes[2].right, found.classes[1].right) == (25, 27)


def test_counts_are_rounded_down_and_recall_to_whole_percents():
    named = TRUTH.copy()
    named[:8], named[-2:] = 2, 0
    told = figures(measured(TRUTH, named, None, gained=[2]), 2, Assess())
    assert (told["images"], told["recall"], told["called"]) == (25, 93, 5)
    assert told["others"] == {"images": 70, "patients": None} and told["patients"] is None


def test_a_minimum_counts_patients_where_they_are_named():
    patients = np.arange(len(TRUTH)) // 2  # 97 images of 49 patients, 14 of blue
    told = figures(measured(TRUTH, TRUTH, patients, gained=[2]), 2, Assess())
    assert told["declined"] == "fewer than 20 patients to test it on" and "recall" not in told
    assert told["called"] == 0 and told["others"] == {"images": 70, "patients": 35}
    fewer = Assess(minimum_images=10)
    assert figures(measured(TRUTH, TRUTH, patients, gained=[2]), 2, fewer)["patients"] == 10


def test_false_alarms_on_too_few_images_are_not_told():
    told = figures(measured(TRUTH[-27:], TRUTH[-27:], None, gained=[2]), 2, Assess())
    assert told["others"] is None and "called" not in told and told["recall"] == 100
