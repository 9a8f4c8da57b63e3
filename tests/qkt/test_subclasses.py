"""Pseudo-subclasses of teachers' classes."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from clinical_qkt.qkt.losses import TransferLoss, masked_kl
from clinical_qkt.qkt.settings import TransferSettings
from clinical_qkt.qkt.subclasses import split, subclass_divergence
from clinical_qkt.research.methods import METHODS
from clinical_qkt.training.second_head import SecondHead


def embedded(count: int = 60, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Features, a head of two classes that reads the first of them, and its logits."""
    features = torch.randn(count, 5, generator=torch.Generator().manual_seed(seed))
    head = torch.tensor([[3.0, 0, 0, 0, 0], [-3.0, 0, 0, 0, 0]])
    return features, head, features @ head.T


def test_a_class_is_split_where_its_embedding_varies_most_and_not_by_what_the_logits_tell():
    features, head, soft_targets = embedded()
    features[:, 0] *= 50  # what the logits tell
    features[:, 2] *= 10  # two sorts of images that the head does not tell apart
    parts = split(features, head, soft_targets, 2).argmax(2)
    for c in range(2):
        mine = soft_targets.argmax(1) == c
        side = (features[mine, 2] > features[mine, 2].mean()).long()
        agree = float((parts[mine, c] == side).float().mean())
        assert max(agree, 1 - agree) > 0.85


@given(st.integers(2, 8), st.integers(1, 6), st.integers(0, 2**31))
def test_parts_are_probabilities_within_each_class_that_the_teacher_knows(count, width, seed):
    generator = torch.Generator().manual_seed(seed)
    features, head = torch.randn(9, width, generator=generator), torch.randn(3, width, generator=generator)
    soft_targets = features @ head.T
    soft_targets[:, 1] = torch.nan
    parts = split(features, head, soft_targets, count)
    assert parts.shape == (9, 3, count) and torch.isfinite(parts).all()
    assert torch.allclose(parts[:, [0, 2]].exp().sum(2), torch.ones(9, 2), atol=1e-5)
    assert not parts[:, 1].any()


def test_a_class_that_the_teacher_sees_nowhere_or_that_does_not_vary_is_not_split():
    features, head, soft_targets = embedded()
    soft_targets[:, 1] = -1e4
    parts = split(features[:1].expand(60, 5), head, soft_targets, 3)
    assert torch.allclose(parts, torch.full_like(parts, 1 / 3).log(), atol=1e-4)


def test_with_kl_it_makes_the_divergence_between_all_parts_of_all_classes():
    temperature = 2.0
    soft_targets, logits = torch.randn(7, 3), torch.randn(7, 3)
    parts, within = F.log_softmax(torch.randn(7, 1, 3, 4), 3), torch.randn(7, 1, 3, 4)
    found = masked_kl(logits, soft_targets, temperature) + subclass_divergence(
        within, soft_targets[:, None], parts, temperature
    )
    teacher = F.log_softmax(soft_targets / temperature, 1)[:, :, None] + parts[:, 0]
    student = F.log_softmax(logits / temperature, 1)[:, :, None] + F.log_softmax(within[:, 0], 2)
    whole = (teacher.exp() * (teacher - student)).sum((1, 2)).mean()
    assert found.item() == pytest.approx(temperature**2 * whole.item(), rel=1e-4)


def test_classes_that_a_teacher_does_not_know_count_for_nothing():
    soft_targets, parts = torch.randn(5, 1, 3), F.log_softmax(torch.randn(5, 1, 3, 2), 3)
    soft_targets[:, :, 1], parts[:, :, 1] = torch.nan, 0.0
    within = torch.randn(5, 1, 3, 2, requires_grad=True)
    subclass_divergence(within, soft_targets, parts, 1.0).backward()
    assert not within.grad[:, :, 1].any() and within.grad[:, :, 0].any()
    exact = parts.clone()
    assert subclass_divergence(exact, soft_targets, parts, 1.0).item() == pytest.approx(0, abs=1e-6)


def test_the_loss_weighs_parts_as_it_weighs_the_divergence():
    batch = {"label": torch.tensor([0, 1]), "soft_targets": torch.randn(2, 1, 3), "own": torch.zeros(2, 2)}
    batch["parts"] = F.log_softmax(torch.randn(2, 1, 3, 2), 3)
    logits, within = torch.randn(2, 3), torch.randn(2, 1, 3, 2)
    found = []
    for weight in (0.0, 1.0, 2.0):
        loss = TransferLoss([0, 1], [2], kind="kl", divergence_weight=weight, self_weight=0, temperature=1)
        found.append((loss((logits, within), batch) - loss(logits, batch)).item())
    assert found[0] == 0 and found[2] == pytest.approx(2 * found[1]) and found[1] > 0.01


def test_a_second_head_reads_what_the_first_does_and_is_not_there_afterwards():
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    both = SecondHead(network, nn.Identity()).train()
    images = torch.randn(6, 1, 2, 2)
    logits, features = both(images)
    assert torch.allclose(network[3](features), logits) and not network[3]._forward_pre_hooks
    assert torch.equal(both.eval()(images), logits)


def test_parts_change_what_is_learnt_and_leave_a_plain_network(case):
    settings = {
        "max_epochs": 1,
        "soft_targets": "each",
        "divergence": "kl",
        "start_from": "own",
        "participants": "relevant",
    }
    qkt = METHODS["qkt"]
    plain, parted = (
        qkt.run(case, qkt.settings(**settings, subclass=s)).predict(case.validation) for s in (1, 2)
    )
    assert plain.shape == parted.shape and not torch.allclose(plain, parted)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"max_epochs": 2, "soft_targets": "joint"},
        {"max_epochs": 2, "soft_targets": "each", "divergence_weight": 0},
    ],
)
def test_parts_need_a_phase_1_that_learns_from_each_teacher(changes):
    with pytest.raises(ValueError, match="parts of a class are learnt from each teacher in phase 1"):
        TransferSettings(subclass=2, **changes)


def test_parts_do_not_go_with_veiled_answers():
    with pytest.raises(ValueError, match="a teacher's embedding is not veiled"):
        TransferSettings(
            subclass=2, max_epochs=2, soft_targets="each", start_from="own", soft_target_noise=1.0
        )
