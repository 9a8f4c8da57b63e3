"""Heads that imitate other models; see conftest for the federation."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import nn

from clinical_qkt.core.errors import InputError
from clinical_qkt.networks import extractor
from clinical_qkt.qkt import head_imitation
from clinical_qkt.qkt.forgetting_budget import BudgetFit, Loss, first_within_budget
from clinical_qkt.qkt.settings import TransferSettings
from clinical_qkt.qkt.teachers import committee
from clinical_qkt.research.methods import METHODS
from clinical_qkt.training.inference import logits_of

CPU = torch.device("cpu")


def made(case, start_from="teacher", **changes):
    return [imitation.model for imitation in imitated(case, start_from, **changes)]


def imitated(case, start_from="teacher", **changes):
    case = replace(case, **changes)
    return list(
        head_imitation.imitations(
            case, lambda _: case.training, case.teachers, case.logits, case.own_logits, start_from
        )
    )


def test_the_relevant_teachers_networks_come_first_and_the_own_one_last(case):
    relevant = {t.site for t in case.teachers if t.known_columns & set(case.query)}
    *teachers, own = (m.card.site for m in made(case))
    assert set(teachers) == relevant and own == case.own.card.site
    assert [m.card.site for m in made(case, "own")] == [own]


def test_no_weight_of_the_body_is_changed_and_every_model_has_a_head(case):
    for model in made(case):
        body = model.network.body.network
        whose = {t.site: t.model.network for t in case.teachers} | {case.own.card.site: case.own.network}
        before, after = whose[model.card.site].state_dict(), body.state_dict()
        head = model.card.head.replace("head", "fc")
        assert all(torch.equal(after[k], before[k]) for k in before if not k.startswith(head))
        assert len(model.network.spec.heads) == len(case.teachers)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_weights_whatever_ran_before(case):
    first = [m.network.state_dict() for m in made(case)]
    torch.rand(7)
    again = [m.network.state_dict() for m in made(case)]
    assert all(torch.equal(a[k], b[k]) for a, b in zip(first, again, strict=True) for k in a)


def test_views_can_be_drawn_anew_to_see_what_chance_does(case):
    qkt = METHODS["qkt"]
    settings = {"start_from": "own", "heads": "each"}
    said = [qkt.run(case, qkt.settings(**settings, redraw=n)).predict(case.validation) for n in (0, 0, 1)]
    assert torch.equal(said[0], said[1]) and not torch.allclose(said[0], said[2])


def test_the_own_body_keeps_the_own_answers_to_the_letter(case, held_out):
    model = made(case, "own")[0]
    local = [item for item in held_out if int(item["label"]) in case.local]
    logits, own = logits_of(model.network, local, CPU), logits_of(case.own.network, local, CPU)
    assert torch.allclose(logits[:, case.local].softmax(1), own.softmax(1), atol=1e-5)


def test_a_head_says_of_new_images_of_own_classes_what_its_model_says(case, held_out):
    model = made(case, "own")[0]
    new = [item for item in held_out if int(item["label"]) in case.local]
    seen = torch.stack([item["image"] for item in new])
    with torch.no_grad():
        said = model.network.heads(model.network.body.pooled(seen)[1]).split(
            [len(c) for c in model.network.spec.heads], 1
        )
    for head, teacher in zip(said, case.teachers, strict=True):
        rows = [r for r, known in enumerate(teacher.known) if known]
        wanted = logits_of(teacher.model.network, new, CPU)[:, rows]
        agree = (head.argmax(1) == wanted.argmax(1)).float().mean()
        assert agree > 0.8, teacher.site


@given(st.integers(1, 4), st.integers(2, 5), st.integers(0, 2**31))
def test_what_is_linear_in_the_features_is_learnt_whole(views, classes, seed):
    generator = torch.Generator().manual_seed(seed)
    base = torch.randn(60, 6, generator=generator, dtype=torch.float64) * torch.tensor([1, 5, 0.1, 1, 1, 1])
    truth = torch.randn(6, classes, generator=generator, dtype=torch.float64)
    said = (base @ truth).float()
    heads = nn.Linear(6, classes)
    head_imitation.fit(heads, base.repeat(views, 1) + 3, [said])
    wanted = said - said.mean(1, keepdim=True)
    assert (heads(base.float() + 3) - wanted).abs().mean() < 0.02 * wanted.abs().mean() + 1e-4


def test_labels_are_learnt_in_equal_parts_with_the_own_answers_but_not_those_of_queried_images():
    own = torch.tensor([[0.0, 0.0], [0.0, 0.0], [4.0, 0.0]])
    found = head_imitation.taught(own, torch.tensor([0, 1, 2])).exp()
    assert torch.allclose(found[:2], torch.tensor([[0.75, 0.25], [0.25, 0.75]]))
    assert torch.allclose(found[2], own[2].softmax(0))


def found(bias: float, state: str = "shown") -> BudgetFit:
    return BudgetFit([bias], 0.0, Loss(0, 0, 0, 0), state, 10, 0, 5, 5)


def test_the_first_network_is_taken_that_keeps_the_budget_and_turns_no_queried_class_down():
    kept, lower, lowest = found(0.5), found(-0.5), found(-2.0)
    not_kept = found(3.0, "not kept")
    assert first_within_budget([not_kept, lower, kept, lowest]) == 2
    assert first_within_budget([lowest, not_kept, lower]) == 2
    assert first_within_budget([not_kept, not_kept]) == 1

    def asked():
        yield kept
        raise AssertionError("a network was made that nobody needs")

    assert first_within_budget(asked()) == 0


def test_an_images_cross_fitted_answer_does_not_depend_on_what_was_learnt_of_it(case):
    """Whatever models say of an image in training, the heads that answer for it have not learnt it."""
    case = replace(case, own_held_out=case.own_logits)
    first = imitated(case)[0]
    logits = {site: said.clone() for site, said in case.logits.items()}
    unseen = case.own_logits.clone()
    body = first.model.card.site
    for site, said in [*logits.items(), ("own", unseen)]:
        if site != body:
            said[0] = 50 * torch.randn(said.shape[1])
    case = replace(case, own_held_out=unseen)
    other = next(
        head_imitation.imitations(
            case, lambda _: case.training, case.teachers, logits, case.own_logits, "teacher"
        )
    )
    assert first.cross_fitted.shape == (len(case.training), len(case.labels))
    assert torch.allclose(first.cross_fitted[0], other.cross_fitted[0], atol=1e-4)
    assert not torch.allclose(first.cross_fitted[1:], other.cross_fitted[1:], atol=1e-4)


def test_the_own_body_needs_what_networks_without_the_image_said(case):
    assert imitated(case, "own")[0].cross_fitted is None
    unseen = torch.randn(len(case.training), len(case.local))
    own = imitated(case, "own", own_held_out=unseen)[0]
    within = own.cross_fitted[:, case.local].softmax(1)
    assert torch.allclose(within, unseen.softmax(1), atol=1e-4)


def test_an_own_model_that_is_a_committee_cannot_bear_heads(case):
    joined = committee(case.own, case.teachers, case.labels)
    with pytest.raises(InputError, match="cannot bear heads"):
        made(case, own=replace(case.own, card=joined.card))


def test_a_wide_network_bears_heads_on_its_first_stages_alone(case, monkeypatch):
    monkeypatch.setattr(extractor, "MAX_FEATURES", 200)
    found = made(case, "own")[0].network.spec.body
    assert found.depths == case.own.card.network.early_depths and found.pooled <= 200


def test_heads_do_not_go_with_training():
    with pytest.raises(ValidationError, match="'each' trains nothing else"):
        TransferSettings(heads="each", start_from="teacher", max_epochs=3)
    with pytest.raises(ValidationError, match="'each' trains nothing else"):
        TransferSettings(heads="each")
