"""The rule by which a forgetting budget is spent; what it promises is drawn in test_forgetting_promise.py."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clinical_qkt.core.errors import PackageError
from clinical_qkt.qkt.forgetting_budget import Promise, fit_to_budget
from clinical_qkt.qkt.held_out import HeldOut


def made(seed: int, count: int = 600, local: int = 4, query: int = 1) -> HeldOut:
    g = torch.Generator().manual_seed(seed)
    labels = torch.randint(local, (count,), generator=g)
    logits = torch.randn(count, local + query, generator=g)
    logits[torch.arange(count), labels] += 3
    return HeldOut(logits, labels, logits[:, :local].argmax(1) == labels)


def lost(held_out: HeldOut, query: list[int], bias: list[float]) -> list[float]:
    raised = held_out.logits.clone()
    raised[:, query] += torch.tensor(bias)
    gone = held_out.before.float() - (raised.argmax(1) == held_out.labels).float()
    return [100 * float(gone[held_out.labels == c].mean()) for c in range(4)]


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000), st.floats(2, 20), st.integers(1, 3))
def test_what_is_found_is_what_the_bias_costs_and_its_bound_is_within_the_promise(seed, budget, queried):
    held_out, query = made(seed, query=queried), list(range(4, 4 + queried))
    fit = fit_to_budget(held_out, query, Promise(budget, 2.5 * budget, 0.75))
    found = lost(held_out, query, fit.bias)
    assert np.mean(found) == pytest.approx(fit.loss.mean, abs=1e-3)
    assert max(found) == pytest.approx(fit.loss.worst, abs=1e-3)
    assert fit.loss.mean <= fit.loss.mean_bound and fit.loss.worst <= fit.loss.worst_bound
    if fit.state == "shown":
        assert fit.loss.mean_bound <= budget + 1e-3 and fit.loss.worst_bound <= 2.5 * budget + 1e-3


def test_a_larger_budget_gives_a_larger_bias_and_more_confidence_a_smaller_one():
    held_out = made(1)
    budgets = [fit_to_budget(held_out, [4], Promise(b, 100, 0.75)).bias[0] for b in (2, 5, 20)]
    assert budgets == sorted(budgets) and budgets[0] < budgets[-1]
    sure = [fit_to_budget(held_out, [4], Promise(5, 100, c)).bias[0] for c in (0.55, 0.75, 0.95)]
    assert sure == sorted(sure, reverse=True) and sure[0] > sure[-1]


def test_a_budget_that_cannot_be_kept_costs_as_little_as_possible_and_says_so():
    held_out = made(2)
    held_out.before[:] = True  # the new model errs on its own
    fit = fit_to_budget(held_out, [4], Promise(0.5, 1, 0.75))
    assert fit.state == "not kept" and not fit.kept
    assert fit.loss.mean == pytest.approx(np.mean(lost(held_out, [4], [-100.0])), abs=0.5)


def test_too_few_images_are_said_and_the_estimates_alone_are_kept_within_the_limits():
    held_out = made(3)
    few = HeldOut(held_out.logits[:40], held_out.labels[:40], held_out.before[:40])
    fit = fit_to_budget(few, [4], Promise(5, 12, 0.75))
    assert fit.state == "estimated" and fit.kept
    assert fit.loss.mean <= 5 and fit.loss.worst <= 12 and fit.loss.mean_bound > 5
    assert fit.fewest < fit.needed
    enough = Promise(5, 12, 0.75)
    assert enough.can_be_shown([fit.needed] * 4) and not enough.can_be_shown([fit.needed - 1] * 4)


def test_images_of_one_patient_count_about_once():
    held_out = made(4, count=400)
    whole = HeldOut(held_out.logits, held_out.labels, held_out.before, np.arange(400))
    # Eight images of each patient, all of one class and alike
    rows = torch.arange(400) // 8 * 8
    alike = HeldOut(held_out.logits[rows], held_out.labels[rows], held_out.before[rows], np.arange(400) // 8)
    promise = Promise(4, 10, 0.75)
    assert fit_to_budget(whole, [4], promise).state == "shown"
    assert fit_to_budget(alike, [4], promise).state == "estimated"


def test_one_class_does_not_pay_for_all():
    """A class that resembles the queried one would lose everything before the mean says stop."""
    labels = torch.arange(4).repeat(200)
    logits = torch.eye(4)[labels] * 10
    queried = torch.where(labels == 0, 9.0 + torch.linspace(-1, 1, 800), -20.0)
    held_out = HeldOut(torch.cat([logits, queried[:, None]], 1), labels, torch.ones(800, dtype=torch.bool))
    free = fit_to_budget(held_out, [4], Promise(20, 100, 0.75))
    limited = fit_to_budget(held_out, [4], Promise(20, 10, 0.75))
    assert free.loss.worst > 60 and free.state == limited.state == "shown"
    assert limited.loss.worst_bound <= 10.01 and limited.bias[0] < free.bias[0]


def test_images_of_queried_classes_are_left_out_and_nan_is_refused():
    logits = torch.zeros(4, 3)
    labels = torch.tensor([0, 1, 2, 0])
    found = HeldOut.of(logits, logits[:, :2], labels, [0, 1], cross_fitted=True)
    assert len(found) == found.cross_fitted == 3 and found.labels.tolist() == [0, 1, 0]
    logits[2] = torch.nan  # of the queried class: never looked at
    HeldOut.of(logits, logits[:, :2], labels, [0, 1])
    logits[0] = torch.inf
    with pytest.raises(PackageError, match="NaN or infinity on this site's images"):
        HeldOut.of(logits, logits[:, :2], labels, [0, 1])


def test_patients_of_two_sections_stay_apart():
    one = HeldOut(torch.zeros(3, 3), torch.tensor([0, 0, 1]), torch.ones(3).bool(), np.array([0, 0, 1]))
    other = HeldOut(torch.zeros(2, 3), torch.tensor([0, 1]), torch.ones(2).bool(), None, 2)
    both = one + other
    assert both.patients is not None and both.patients.tolist() == [0, 0, 1, 2, 3]
    assert len(both) == 5 and both.cross_fitted == 2
