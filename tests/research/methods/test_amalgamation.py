from dataclasses import replace

import pytest
import torch

from clinical_qkt.core.errors import QueryError
from clinical_qkt.networks.spec import preset
from clinical_qkt.qkt.teachers import Teacher
from clinical_qkt.research.methods.amalgamation import (
    OWN,
    Settings,
    Source,
    WithFeatures,
    ambiguity,
    run,
    select,
    soft_target_loss,
    teachers_of,
)
from clinical_qkt.training.inference import labels_of

NAN = torch.nan


def source(site, answers, logits=None):
    answers = torch.tensor(answers)
    own = answers[:, ~answers[0].isnan()] if logits is None else torch.tensor(logits)
    return Source(site, answers, ambiguity(own), torch.zeros(len(answers), 4))


def test_each_image_is_learnt_from_the_teacher_that_is_least_in_doubt():
    sure_of_the_first = source("one", [[9.0, 0.0, NAN], [0.1, 0.0, NAN]])
    sure_of_the_second = source("two", [[0.2, 0.0, 0.1], [0.0, 0.0, 9.0]])
    assert select([sure_of_the_first, sure_of_the_second]).tolist() == [0, 1]


def test_ambiguity_does_not_depend_on_the_number_of_classes():
    assert ambiguity(torch.zeros(1, 2)).item() == pytest.approx(1.0)
    assert ambiguity(torch.zeros(1, 9)).item() == pytest.approx(1.0)
    assert ambiguity(torch.tensor([[50.0, 0.0, 0.0]])).item() == pytest.approx(0.0, abs=1e-6)
    assert ambiguity(torch.zeros(2, 1)).tolist() == [1.0, 1.0]


def test_teachers_are_grouped_by_what_they_know():
    own = source(OWN, [[1.0, 1.0, NAN, NAN]])
    both = source("both", [[NAN, 1.0, 1.0, NAN]])
    alone = source("alone", [[NAN, NAN, NAN, 1.0]])
    everybody = [own, both, alone]
    assert teachers_of(everybody, [0, 1], None) == [own]
    assert teachers_of(everybody, [0, 1], 2) == [both]
    assert teachers_of(everybody, [0, 1], 3) == [alone]


def test_soft_targets_are_compared_over_the_classes_that_each_images_teacher_knows():
    answers = torch.tensor([[2.0, 0.0, NAN], [NAN, 1.0, 3.0]])
    same = torch.tensor([[2.0, 0.0, 70.0], [-50.0, 1.0, 3.0]], requires_grad=True)
    loss = soft_target_loss(same, answers, 2.0)
    loss.backward()
    assert loss.item() == pytest.approx(0.0, abs=1e-6) and torch.isfinite(same.grad).all()
    other = torch.zeros(2, 3, requires_grad=True)
    soft_target_loss(other, answers, 2.0).backward()
    assert other.grad[0, 2] == 0 and other.grad[1, 0] == 0 and other.grad[0, 0] < 0


def test_a_network_gives_its_features_until_the_hook_is_gone():
    learner = WithFeatures(preset("resnet_small", 3, [28, 28]).build(4), [5, 7]).eval()
    logits, seen = learner(torch.zeros(2, 3, 28, 28))
    assert seen.shape == (2, 128) and torch.allclose(learner.network.fc(seen), logits)
    assert [a.out_features for a in learner.adaptors] == [5, 7]


@pytest.mark.slow
def test_the_queried_class_is_recognised_without_any_label(case, held_out):
    unlabelled = [{"image": item["image"]} for item in case.training]
    before = {k: v.clone() for k, v in case.own.network.state_dict().items()}
    outcome = run(replace(case, training=unlabelled), Settings(batch_size=32))
    logits, labels = outcome.predict(held_out), labels_of(held_out)
    assert logits.shape == (len(held_out), 4)
    assert (logits[:, :3].argmax(1) == labels)[labels < 3].float().mean() > 0.8
    evidence = logits[:, 3] - logits[:, :3].logsumexp(1)
    higher = evidence[labels == 3][:, None] > evidence[labels < 3][None]
    assert higher.float().mean() > 0.7  # the area under the curve, 0.5 by chance
    assert outcome.teachers_used == 2
    assert outcome.bytes_received == sum(t.model.bytes for t in case.teachers)
    assert all(torch.equal(v, before[k]) for k, v in case.own.network.state_dict().items())
    assert not any(m._forward_pre_hooks for m in case.own.network.modules())


@pytest.mark.slow
def test_teachers_may_have_another_architecture(case, held_out):
    torch.manual_seed(0)
    one, spec = case.teachers[0], preset("resnet18", 3, [28, 28])
    card = one.model.card.model_copy(update={"network": spec})
    stranger = Teacher(
        replace(one.model, network=spec.build(3).eval(), card=card), one.columns, one.scores, one.known
    )
    few = case.training[::6]
    settings = Settings(max_epochs=1, component_epochs=1, batch_size=16)
    outcome = run(replace(case, training=few, teachers=[stranger, case.teachers[1]]), settings)
    assert torch.isfinite(outcome.predict(held_out[:4])).all()


def test_a_class_that_nobody_knows_is_refused_by_name(case):
    ignorant = [replace(t, known=[False] * 3) for t in case.teachers]
    with pytest.raises(QueryError, match="no teacher knows 'yellow'"):
        run(replace(case, teachers=ignorant), Settings())
