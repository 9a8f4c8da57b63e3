"""What hides a patient, counted for an image; and the other way round."""

from __future__ import annotations

import math

import pytest
import torch

from clinical_qkt.networks.extractor import MAX_FEATURES
from clinical_qkt.privacy.composition import (
    WHOLE,
    Incomparable,
    Spent,
    composed_epsilon,
    counted_for,
)
from clinical_qkt.privacy.mechanisms import COUNT_STEPS, STEPS, PatientSums

OF_A_PATIENT = math.hypot(STEPS, COUNT_STEPS)


def moved(first: torch.Tensor, second: torch.Tensor) -> float:
    """How far a patient's contribution moves, in steps, when the first of two images is taken away."""
    both, alone = (PatientSums(len(first), 1.0) for _ in range(2))
    both.update(torch.stack([first, second]), ["a", "a"])
    alone.update(second[None], ["a"])
    return float((both.contributions() - alone.contributions()).double().norm())


def test_one_of_two_images_moves_a_patient_no_further_than_is_counted():
    assert STEPS**2 + math.sqrt(5 * MAX_FEATURES) * STEPS <= (OF_A_PATIENT / WHOLE) ** 2
    generator = torch.Generator().manual_seed(0)
    for features in (1, 2, 128, MAX_FEATURES):
        for _ in range(20):
            pair = torch.randn(2, features, generator=generator, dtype=torch.float64)
            assert moved(*(2 * pair)) <= OF_A_PATIENT / WHOLE
            assert moved(pair[0], -pair[0]) <= OF_A_PATIENT / WHOLE


def test_truncation_can_make_it_more_than_a_patient_counts_for():
    """Nearly opposite images: small means are truncated to nothing, and one large number makes up for it."""
    stays, goes = (torch.full((MAX_FEATURES,), steps, dtype=torch.float64) for steps in (12.01, -10.03))
    stays[0], goes[0] = 676.0, -796.0
    assert stays.norm() <= STEPS and goes.norm() <= STEPS
    assert OF_A_PATIENT < moved(goes / STEPS, stays / STEPS) <= OF_A_PATIENT / WHOLE


def test_what_is_counted_for_whom():
    of_a_patient, of_an_image, unknown = (Spent(2.0, unit) for unit in ("patient", "image", None))
    every = [of_a_patient, of_an_image, unknown]
    assert counted_for(every, "image", None) == [2.0 * WHOLE, 2.0, 2.0]
    assert counted_for(every, "patient", 4) == [2.0, 0.5, 0.5]
    assert counted_for([of_a_patient], "patient", None) == [2.0]
    for one in (of_an_image, unknown):
        with pytest.raises(Incomparable):
            counted_for([one], "patient", None)
    assert composed_epsilon([], 1e-5) == 0


def test_a_response_that_compares_looks_of_several_classes_counts_for_as_many_images_of_a_patient():
    spent = [Spent(2.0, "image", classes=3), Spent(2.0, "patient", classes=3)]
    assert counted_for(spent, "patient", 4) == [2.0 / 12, 2.0]
    assert counted_for(spent, "image", None) == [2.0, 2.0 * WHOLE]
