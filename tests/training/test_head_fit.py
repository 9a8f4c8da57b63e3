"""A head that is fitted at once: the least penalised loss, whatever the features' scale, or a refusal."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from clinical_qkt.core.errors import InputError
from clinical_qkt.training.head_fit import fit_head


def clouds(classes: int, count: int = 60, seed: int = 0) -> tuple[Tensor, Tensor]:
    """``(N, 6)`` features of quite different scales, and labels; every other image is of the first class."""
    draw = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, classes, (count,), generator=draw)
    labels = labels * torch.randint(0, 2, (count,), generator=draw)
    labels[:classes] = torch.arange(classes)
    middles = torch.randn(classes, 6, generator=draw)
    features = middles[labels] + torch.randn(count, 6, generator=draw)
    return features * torch.logspace(-1, 0.5, 6) + 5, labels


def fitted(features: Tensor, labels: Tensor, penalty: float, classes: int, **how: Tensor) -> nn.Linear:
    head = nn.Linear(features.shape[1], classes)
    fit_head(head, features, labels, penalty, **how)
    return head


def slope(features: Tensor, labels: Tensor, head: nn.Linear, penalty: float, weight: Tensor | None) -> float:
    """The longest slope of what is minimised, in the weights of standardised features."""
    rows = features.double()
    mean, spread = rows.mean(0), rows.std(0, correction=0)
    weights = (head.weight.detach().double() * spread).requires_grad_()
    bias = (head.bias.detach().double() + head.weight.detach().double() @ mean).requires_grad_()
    logits = (rows - mean) / spread @ weights.T + bias
    weight = None if weight is None else weight.double()
    loss = nn.functional.cross_entropy(logits, labels, weight) + penalty / 2 * weights.square().sum()
    loss.backward()
    assert weights.grad is not None and bias.grad is not None
    return float(max(weights.grad.abs().max(), bias.grad.abs().max()))


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 5), st.sampled_from([0.03, 0.5, 3.0]), st.integers(0, 9), st.booleans())
def test_it_is_the_least_of_loss_and_penalty(classes, penalty, seed, weighed):
    features, labels = clouds(classes, seed=seed)
    weight = torch.linspace(0.5, 2, classes) if weighed else None
    how = {} if weight is None else {"class_weights": weight}
    head = fitted(features, labels, penalty, classes, **how)
    assert slope(features, labels, head, penalty, weight) < 2e-3


def test_of_two_classes_too_there_is_a_row_each():
    features, labels = clouds(2)
    head = fitted(features, labels, 0.1, 2)
    assert torch.allclose(head.weight[0], -head.weight[1])
    assert float((head(features).argmax(1) == labels).float().mean()) > 0.7


def test_units_of_features_do_not_matter():
    features, labels = clouds(3)
    scale, shift = torch.logspace(-0.5, 0.5, 6), torch.linspace(-9, 9, 6)
    one = fitted(features, labels, 0.3, 3)(features)
    other = fitted(features * scale + shift, labels, 0.3, 3)(features * scale + shift)
    assert torch.allclose(one.softmax(1), other.softmax(1), atol=1e-2)


def test_a_larger_penalty_is_less_sure():
    features, labels = clouds(3)
    heads = [fitted(features, labels, penalty, 3) for penalty in (0.01, 0.3, 9.0)]
    sure = [float(head(features).detach().softmax(1).amax(1).mean()) for head in heads]
    assert sure[0] > sure[1] + 0.05 > sure[2] + 0.1


def test_a_feature_that_never_varies_changes_nothing():
    features, labels = clouds(3)
    dull = torch.cat([features, torch.full((len(features), 1), 7.0)], 1)
    head = fitted(dull, labels, 0.3, 3)
    assert torch.isfinite(head.weight).all() and head.weight[:, -1].abs().max() < 1e-3


def test_what_varies_by_rounding_alone_is_not_made_large():
    """Else a number's last bits would decide, and an exported head say something else."""
    features, labels = clouds(3)
    noise = 1e-7 * (labels == 1)[:, None] + 7  # it tells a class, and only by its last bits
    head = fitted(torch.cat([features, noise], 1), labels, 0.03, 3)
    spread = float(features.std(0).median())
    assert head.weight[:, -1].abs().max() < 1 / (0.01 * spread) * 1e-2 and head.bias.abs().max() < 100


def test_a_class_without_images_is_never_said():
    features, labels = clouds(3)
    head = fitted(features, labels, 0.3, 4)
    assert head(features).softmax(1)[:, 3].max() < 1e-3 and (head.weight[3] == 0).all()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda f, y: (f, y * 0), "of one class there is nothing to be told apart"),
        (lambda f, y: (f * float("nan"), y), "no weights of the head were found"),
    ],
)
def test_what_has_no_solution_is_refused(change, told):
    with pytest.raises(InputError, match=told) as e:
        fitted(*change(*clouds(3)), 0.3, 3)
    assert e.value.where == "head_penalty"


def test_a_search_that_does_not_end_is_refused(monkeypatch):
    monkeypatch.setattr("clinical_qkt.training.head_fit.STEPS", 1)
    with pytest.raises(InputError, match="no weights of the head were found"):
        fitted(*clouds(3), 1e-4, 3)
