import pytest
import torch
from torch.nn import functional as F

from clinical_qkt import losses

torch.manual_seed(0)
LOCAL, QUERY = [0, 1, 2], [3]


def test_restricted_cross_entropy_does_not_touch_the_queried_class():
    logits = torch.randn(5, 4, requires_grad=True)
    loss = losses.restricted_cross_entropy(logits, torch.tensor([0, 1, 2, 0, 1]), LOCAL)
    loss.backward()
    assert torch.equal(logits.grad[:, 3], torch.zeros(5))
    assert logits.grad[:, :3].abs().sum() > 0
    assert loss.item() == pytest.approx(F.cross_entropy(logits[:, :3], torch.tensor([0, 1, 2, 0, 1])).item())


@pytest.mark.parametrize("kind", ["kl", "logit", "evidence"])
def test_each_divergence_is_zero_for_the_teachers_own_answer_and_ignores_what_it_does_not_know(kind):
    answers = torch.randn(6, 1, 4)
    answers[:, :, 1] = torch.nan
    same = answers[:, 0].clone()
    same[:, 1] = torch.randn(6)  # anything
    args = (QUERY, LOCAL, 2.0)
    assert losses.divergence(kind, same, answers, *args).item() == pytest.approx(0, abs=1e-6)
    shifted = same + 3.0  # a softmax does not see what all logits have in common
    assert losses.divergence(kind, shifted, answers, *args).item() == pytest.approx(0, abs=1e-5)
    other = same.clone()
    other[:, 3] += torch.randn(6)
    assert losses.divergence(kind, other, answers, *args).item() > 0.01


def test_divergence_is_the_mean_over_teachers():
    logits, answers = torch.randn(6, 4), torch.randn(6, 3, 4)
    each = [losses.logit_matching(logits, answers[:, t]) for t in range(3)]
    found = losses.divergence("logit", logits, answers, QUERY, LOCAL, 1.0)
    assert found.item() == pytest.approx(torch.stack(each).mean().item())


def test_a_teacher_that_shares_no_local_class_adds_nothing_but_keeps_the_graph():
    logits, answers = torch.randn(4, 4, requires_grad=True), torch.full((4, 4), torch.nan)
    answers[:, 3] = 1.0
    loss = losses.evidence_matching(logits, answers, QUERY, LOCAL)
    loss.backward()
    assert loss.item() == 0 and torch.equal(logits.grad, torch.zeros(4, 4))


def test_masked_kl_is_torchs_over_the_known_classes():
    logits, answers = torch.randn(6, 4), torch.randn(6, 4)
    answers[:, 0] = torch.nan
    expected = 4.0 * F.kl_div(
        F.log_softmax(logits[:, 1:] / 2, 1), F.softmax(answers[:, 1:] / 2, 1), reduction="batchmean"
    )
    assert losses.masked_kl(logits, answers, 2.0).item() == pytest.approx(expected.item(), rel=1e-5)


def test_the_transfer_loss_is_the_weighted_sum():
    logits = torch.randn(5, 4)
    targets = {
        "label": torch.tensor([0, 1, 2, 1, 0]),
        "answers": torch.randn(5, 2, 4),
        "own": torch.randn(5, 3),
    }
    loss = losses.TransferLoss(
        LOCAL, QUERY, kind="evidence", divergence_weight=0.3, self_weight=0.2, temperature=1.0
    )(logits, targets)
    expected = (
        losses.restricted_cross_entropy(logits, targets["label"], LOCAL)
        + 0.3 * losses.divergence("evidence", logits, targets["answers"], QUERY, LOCAL, 1.0)
        + 0.2 * losses.logit_matching(logits[:, :3], targets["own"])
    )
    assert loss.item() == pytest.approx(expected.item())
