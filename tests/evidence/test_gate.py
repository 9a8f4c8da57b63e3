"""'None of these'."""

from __future__ import annotations

import numpy as np
import pytest

from clinical_qkt.evidence import gate
from clinical_qkt.evidence.gate import Answers, Others
from clinical_qkt.evidence.pictures import Pictures

NAMES = ["a", "b", "c", "q"]


def answers(seed: int, *labels: int, each: int = 40, height: float = 6.0, level: float = 0.0) -> Answers:
    """What a good model says: high in the true column, low elsewhere."""
    rng, truth = np.random.default_rng(seed), np.repeat(labels, each)
    return Answers(rng.normal(0, 1, (len(truth), 4)) + height * np.eye(4)[truth] + level, truth)


def doubtful(seed: int, count: int = 50) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, (count, 4))


VALIDATION, TEST = answers(0, 0, 1, 2), answers(1, 0, 1, 2, 3)


def measured(validation=VALIDATION, test=TEST, others=(), pictures=None, **more):
    door, candidates = gate.opened(validation, [0, 1, 2], pictures, **more)
    return door, gate.measured(door, candidates, validation, test, [0, 1, 2], [3], NAMES, others)


def test_95_of_100_own_validation_images_pass():
    door, found = measured()
    refused = door.refused(VALIDATION.logits, None)
    assert 0 < refused.mean() <= 0.05 and found.kept == 0.95 and found.validation_images == 120


def test_images_of_no_class_are_told_and_the_cost_is_measured_on_known_ones():
    _, found = measured(others=[Others("noise", "noise and shapes", doubtful(2))])
    noise = found.sources[-1]
    assert (noise.name, noise.images) == ("noise", 50) and noise.auroc > 0.9 and noise.refused.share > 0.8
    assert found.cost.retained.images == 120 and found.cost.queried.images == 40
    assert found.cost.retained.share < 0.15 and found.cost.right.images == 160


def test_each_retained_class_is_a_stranger_once_and_the_queried_one_never():
    _, found = measured()
    assert [(s.name, s.kind, s.images) for s in found.sources] == [
        (n, "hidden class", 40) for n in ("a", "b", "c")
    ]
    assert all(s.auroc > 0.9 for s in found.sources)


def test_nothing_is_chosen_by_test_images_or_by_images_of_the_queried_class():
    one, two = (measured(test=answers(seed, 0, 1, 2, 3, height=h))[0] for seed, h in ((1, 6.0), (5, 0.1)))
    assert one == two


def test_the_score_is_the_one_that_best_tells_hidden_classes_apart():
    rng = np.random.default_rng(3)
    peaked = VALIDATION.logits + rng.normal(0, 10, (120, 1))  # a level that means nothing
    door, found = measured(Answers(peaked, VALIDATION.labels))
    scores = {c.score: c.auroc for c in found.candidates}
    assert scores["max_logit"] < scores["max_probability"] and door.score in ("max_probability", "margin")


def test_densities_of_a_class_that_another_site_described_are_compared_with_one_another_only():
    low = TEST.logits - 30 * (TEST.labels == 3)[:, None]  # all of its densities are low
    _, found = measured(test=Answers(low, TEST.labels), levels=False)
    assert {c.score for c in found.candidates} == {"max_probability", "margin"}
    assert found.cost.queried.share < 0.3


def test_a_picture_unlike_the_own_ones_is_refused_however_sure_the_model_is():
    numbers = np.random.default_rng(4).normal(0, 1, (120, 3))
    pictures = Pictures.of(numbers, VALIDATION.labels)
    sure = answers(6, 0, each=10).logits
    door, found = measured(
        test=Answers(TEST.logits, TEST.labels, numbers=np.zeros((160, 3))),
        others=[Others("far", "another modality", sure, np.full((10, 3), 90.0))],
        pictures=pictures,
    )
    assert found.unlike and found.sources[-1].refused.count == 10
    assert door.refused(sure, np.zeros((10, 3))).sum() <= 2


def test_images_of_one_patient_make_the_cost_less_sure():
    patients = np.repeat(np.arange(16), 10)
    rare = answers(7, 0, 1, 2, 3, height=4.0)
    shared = Answers(rare.logits, rare.labels, patients)
    (_, alone), (_, by_patient) = measured(test=rare), measured(test=shared)
    assert by_patient.cost.retained.ci95[1] > alone.cost.retained.ci95[1]
    assert by_patient.sources[0].ci95[0] < alone.sources[0].ci95[0]


def test_without_validation_images_there_is_no_gate():
    assert gate.opened(Answers(np.zeros((0, 4)), np.zeros(0, int)), [0, 1, 2]) is None


@pytest.mark.parametrize("labels", [(0,), (0, 1)])
def test_few_retained_classes_still_have_a_gate(labels):
    own = answers(8, *labels)
    door, candidates = gate.opened(own, list(labels))
    found = gate.measured(door, candidates, own, TEST, list(labels), [3], NAMES)
    assert found.cost.queried.images == 40 and found.validation_images == 40 * len(labels)


def test_a_model_of_two_classes_has_a_gate_though_none_can_be_hidden():
    own = Answers(VALIDATION.logits[:, :2], (VALIDATION.labels > 0).astype(int))
    door, candidates = gate.opened(own, [0])
    assert {c.auroc for c in candidates} == {None} and np.isfinite(door.threshold)
