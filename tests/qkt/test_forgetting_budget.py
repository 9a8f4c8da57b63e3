import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clinical_qkt.qkt.forgetting_budget import class_recalls, fit_query_bias, retained_recall


def made(seed: int, count: int = 300, local: int = 4, query: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    labels = torch.randint(local, (count,), generator=g)
    logits = torch.randn(count, local + query, generator=g)
    logits[torch.arange(count), labels] += 3
    return logits, labels


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.floats(0, 20), st.integers(1, 3))
def test_what_is_spent_stays_within_the_budget_and_is_what_the_bias_costs(seed, budget, queried):
    logits, labels = made(seed, query=queried)
    local, query = list(range(4)), list(range(4, 4 + queried))
    before = class_recalls(logits[:, :4], labels, local)
    fit = fit_query_bias(logits, labels, query, before, budget, 2 * budget)
    raised = logits.clone()
    raised[:, query] += torch.tensor(fit.bias)
    lost = 100 * (before - class_recalls(raised, labels, local))
    assert float(lost.mean()) == pytest.approx(fit.spent, abs=1e-3)
    assert float(lost.max()) == pytest.approx(fit.worst, abs=1e-3)
    assert fit.kept and fit.spent <= budget + 1e-3 and fit.worst <= 2 * budget + 1e-3


def test_a_larger_budget_gives_a_larger_bias():
    logits, labels = made(1)
    before = class_recalls(logits[:, :4], labels, range(4))
    biases = [fit_query_bias(logits, labels, [4], before, b, 100).bias[0] for b in (0, 1, 5, 20)]
    assert biases == sorted(biases) and biases[0] < biases[-1]


def test_a_budget_that_cannot_be_kept_costs_as_little_as_possible_and_says_so():
    logits, labels = made(2)
    fit = fit_query_bias(logits, labels, [4], torch.ones(4), budget=0.0, worst=0.0)
    assert not fit.kept and fit.spent > 0
    assert fit.spent == pytest.approx(100 * (1 - retained_recall(logits[:, :4], labels, range(4))), abs=0.5)


def test_retained_recall_is_the_mean_over_the_classes_that_occur():
    logits = torch.eye(3)[torch.tensor([0, 0, 1, 1])]
    assert retained_recall(logits, torch.tensor([0, 0, 1, 0]), [0, 1, 2]) == pytest.approx((2 / 3 + 1) / 2)


def test_one_class_does_not_pay_for_all():
    """A class that resembles the queried one would lose everything before the mean says stop."""
    labels = torch.arange(4).repeat(50)
    logits = torch.eye(4)[labels] * 10
    queried = torch.where(labels == 0, 9.0 + torch.linspace(-1, 1, 200), -20.0)
    logits = torch.cat([logits, queried[:, None]], 1)
    before = class_recalls(logits[:, :4], labels, range(4))
    free = fit_query_bias(logits, labels, [4], before, budget=20.0, worst=100.0)
    limited = fit_query_bias(logits, labels, [4], before, budget=20.0, worst=10.0)
    assert free.worst > 60 and free.kept
    assert limited.worst <= 10.01 and limited.kept and limited.bias[0] < free.bias[0]
