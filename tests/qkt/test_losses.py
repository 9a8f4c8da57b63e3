from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch.nn import functional as F

from clinical_qkt.qkt import losses
from clinical_qkt.qkt.settings import TransferSettings
from clinical_qkt.training.handlers import Progress

torch.manual_seed(0)
LOCAL, QUERY = [0, 1, 2], [3]


def test_restricted_cross_entropy_does_not_touch_the_queried_class():
    logits = torch.randn(5, 4, requires_grad=True)
    loss = losses.restricted_cross_entropy(logits, torch.tensor([0, 1, 2, 0, 1]), LOCAL)
    loss.backward()
    assert torch.equal(logits.grad[:, 3], torch.zeros(5))
    assert logits.grad[:, :3].abs().sum() > 0
    assert loss.item() == pytest.approx(F.cross_entropy(logits[:, :3], torch.tensor([0, 1, 2, 0, 1])).item())


def test_an_image_of_a_queried_class_is_told_from_all_classes_and_leaves_the_others_as_they_were():
    logits = torch.randn(4, 4, requires_grad=True)
    labels = torch.tensor([0, 3, 2, 3])
    loss = losses.restricted_cross_entropy(logits, labels, LOCAL)
    loss.backward()
    some, few = F.cross_entropy(logits[::2, :3], labels[::2]), F.cross_entropy(logits[1::2], labels[1::2])
    assert loss.item() == pytest.approx((some.item() + few.item()) / 2)
    assert torch.equal(logits.grad[::2, 3], torch.zeros(2))
    assert (logits.grad[1::2, 3] < 0).all() and (logits.grad[1::2, :3] > 0).all()


def test_local_columns_may_lie_anywhere():
    logits = torch.randn(3, 4)
    labels = torch.tensor([1, 3, 2])
    found = losses.restricted_cross_entropy(logits, labels, [1, 3])
    rows = torch.stack([logits[0, 1] - logits[0, [1, 3]].logsumexp(0),
                        logits[1, 3] - logits[1, [1, 3]].logsumexp(0),
                        logits[2, 2] - logits[2].logsumexp(0)])  # fmt: skip
    assert found.item() == pytest.approx(-rows.mean().item())


@pytest.mark.parametrize("kind", losses.DIVERGENCES)
def test_each_divergence_is_zero_for_the_teachers_own_answer_and_ignores_what_it_does_not_know(kind):
    soft_targets = torch.randn(6, 1, 4)
    soft_targets[:, :, 1] = torch.nan
    same = soft_targets[:, 0].clone()
    same[:, 1] = torch.randn(6)  # anything
    told = {"query": QUERY, "local": LOCAL, "temperature": 2.0, "progress": 1.0}
    assert losses.mean_divergence(kind, same, soft_targets, **told).item() == pytest.approx(0, abs=1e-6)
    shifted = same + 3.0  # a softmax does not see what all logits have in common
    assert losses.mean_divergence(kind, shifted, soft_targets, **told).item() == pytest.approx(0, abs=1e-5)
    other = same.clone()
    other[:, 3] += torch.randn(6)
    assert losses.mean_divergence(kind, other, soft_targets, **told).item() > 0.01


def test_divergence_is_the_mean_over_teachers():
    logits, soft_targets = torch.randn(6, 4), torch.randn(6, 3, 4)
    each = [losses.logit_matching(logits, soft_targets[:, t]) for t in range(3)]
    found = losses.mean_divergence("logit", logits, soft_targets)
    assert found.item() == pytest.approx(torch.stack(each).mean().item())


def test_a_teacher_that_shares_no_local_class_adds_nothing_but_keeps_the_graph():
    logits, soft_targets = torch.randn(4, 4, requires_grad=True), torch.full((4, 4), torch.nan)
    soft_targets[:, 3] = 1.0
    loss = losses.evidence_matching(logits, soft_targets, QUERY, LOCAL)
    loss.backward()
    assert loss.item() == 0 and torch.equal(logits.grad, torch.zeros(4, 4))


def test_masked_kl_is_torchs_over_the_known_classes():
    logits, soft_targets = torch.randn(6, 4), torch.randn(6, 4)
    soft_targets[:, 0] = torch.nan
    expected = 4.0 * F.kl_div(
        F.log_softmax(logits[:, 1:] / 2, 1), F.softmax(soft_targets[:, 1:] / 2, 1), reduction="batchmean"
    )
    assert losses.masked_kl(logits, soft_targets, 2.0).item() == pytest.approx(expected.item(), rel=1e-5)


def test_the_transfer_loss_is_the_weighted_sum():
    logits = torch.randn(5, 4)
    targets = {
        "label": torch.tensor([0, 1, 2, 1, 0]),
        "soft_targets": torch.randn(5, 2, 4),
        "own": torch.randn(5, 3),
    }
    loss = losses.TransferLoss(
        LOCAL,
        QUERY,
        kind="evidence",
        label_weight=0.5,
        divergence_weight=0.3,
        self_weight=0.2,
        temperature=1.0,
    )(logits, targets)
    expected = (
        0.5 * losses.restricted_cross_entropy(logits, targets["label"], LOCAL)
        + 0.3 * losses.mean_divergence("evidence", logits, targets["soft_targets"], query=QUERY, local=LOCAL)
        + 0.2 * losses.logit_matching(logits[:, :3], targets["own"])
    )
    assert loss.item() == pytest.approx(expected.item())


SOFTMAXES = {
    "reverse_kl": losses.reverse_kl,
    "balanced": losses.balanced_kl,
    "interpolated": lambda logits, soft_targets, t=2.0: losses.interpolated_kl(logits, soft_targets, 0.7, t),
}


@pytest.mark.parametrize("kind", SOFTMAXES)
@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000), temperature=st.floats(0.5, 5))
def test_a_divergence_of_softmaxes_is_never_negative_and_its_gradient_leads_to_the_teacher(
    kind, seed, temperature
):
    draw = torch.Generator().manual_seed(seed)
    logits = torch.randn(5, 4, generator=draw, dtype=torch.float64, requires_grad=True)
    soft_targets = torch.randn(5, 4, generator=draw, dtype=torch.float64)
    soft_targets[:, 1] = torch.nan
    loss = SOFTMAXES[kind](logits, soft_targets, temperature)
    loss.backward()
    assert loss.item() >= 0
    assert torch.equal(logits.grad[:, 1], torch.zeros(5, dtype=torch.float64))
    assert torch.isfinite(logits.grad).all()
    # a small step against the gradient brings the student closer
    nearer = SOFTMAXES[kind]((logits - 1e-3 * logits.grad).detach(), soft_targets, temperature)
    # the interpolated target moves with the student: measured against the teacher
    if kind == "interpolated":
        loss = losses.masked_kl(logits, soft_targets, temperature)
        nearer = losses.masked_kl((logits - 1e-3 * logits.grad).detach(), soft_targets, temperature)
    assert nearer.item() <= loss.item()


def test_reverse_kl_is_forward_kl_with_the_two_exchanged():
    logits, soft_targets = torch.randn(6, 4), torch.randn(6, 4)
    swapped = losses.masked_kl(soft_targets, logits, 2.0)
    assert losses.reverse_kl(logits, soft_targets, 2.0).item() == pytest.approx(swapped.item(), rel=1e-4)


@pytest.mark.parametrize(("scale", "closer"), [(0.05, "forward"), (20.0, "reverse")])
def test_balance_weighs_forward_kl_more_where_the_student_is_less_certain(scale, closer):
    soft_targets = torch.tensor([[2.0, 0.0, -1.0, 0.5]])
    logits = scale * torch.tensor([[1.0, 0.0, -1.0, 0.0]])
    forward = losses.masked_kl(logits, soft_targets, 1.0).item()
    reverse = losses.reverse_kl(logits, soft_targets, 1.0).item()
    weight = (losses.balanced_kl(logits, soft_targets, 1.0).item() - reverse) / (forward - reverse)
    assert 0 < weight < 1 and (weight > 0.5) == (closer == "forward")


def test_the_interpolated_target_moves_from_the_student_to_the_teacher():
    logits, soft_targets = torch.randn(6, 4), torch.randn(6, 4)
    way = [losses.interpolated_kl(logits, soft_targets, t).item() for t in (0.0, 0.3, 0.6, 1.0)]
    assert way[0] == pytest.approx(0, abs=1e-6) and way == sorted(way)
    assert way[-1] == pytest.approx(losses.masked_kl(logits, soft_targets).item())


def test_the_progress_of_a_training_reaches_the_loss():
    how = {"divergence_weight": 1.0, "self_weight": 0.0, "temperature": 2.0}
    loss = losses.TransferLoss(LOCAL, QUERY, kind="interpolated", **how)
    targets = {"label": torch.tensor([0, 1]), "soft_targets": torch.randn(2, 1, 4)}
    logits = torch.randn(2, 4)
    assert loss.progress == 1.0
    found = []
    for epoch in (1, 5, 10):
        Progress(loss)(SimpleNamespace(state=SimpleNamespace(epoch=epoch, max_epochs=10)))
        found.append(loss(logits, targets).item())
        own = losses.restricted_cross_entropy(logits, targets["label"], LOCAL)
        away = losses.interpolated_kl(logits, targets["soft_targets"][:, 0], 0.3 + 0.07 * epoch)
        assert found[-1] == pytest.approx((own + away).item(), rel=1e-5)
    assert loss.progress == 1.0 and found == sorted(found)


@pytest.fixture
def register():
    """What is registered in a test is gone afterwards."""
    before = dict(losses.DIVERGENCES)
    yield losses.divergence
    losses.DIVERGENCES.clear()
    losses.DIVERGENCES.update(before)


def test_a_divergence_that_is_registered_may_be_named_in_settings_and_is_given_what_it_takes(register):
    @register("far")
    def far(logits, soft_targets, progress):
        return progress * (logits - soft_targets).abs().mean()

    assert TransferSettings(divergence="far").divergence == "far"
    loss = losses.TransferLoss(
        LOCAL, QUERY, kind="far", label_weight=0, divergence_weight=1, self_weight=0, temperature=1
    )
    loss.progress = 0.5
    targets = {"label": torch.tensor([0]), "soft_targets": torch.full((1, 2, 4), 3.0)}
    assert loss(torch.ones(1, 4), targets).item() == pytest.approx(1.0)


def test_an_unknown_divergence_is_refused_with_all_that_there_are():
    with pytest.raises(ValidationError, match="should be 'kl' or 'reverse_kl' or .* or 'evidence'"):
        TransferSettings(divergence="evidnce")
    assert TransferSettings.model_json_schema()["properties"]["divergence"]["enum"] == [*losses.DIVERGENCES]


def test_a_divergence_is_refused_whose_name_is_taken_or_that_takes_what_nobody_gives(register):
    with pytest.raises(TypeError, match="divergence 'kl' is there already"):
        register("kl")(losses.masked_kl)
    with pytest.raises(TypeError, match="takes more than query, local, temperature, progress"):
        register("new")(lambda logits, soft_targets, warmth: logits.sum())
    assert "new" not in losses.DIVERGENCES
