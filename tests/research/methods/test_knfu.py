from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import settings as quick
from hypothesis import strategies as st

from clinical_qkt.research.methods import knfu
from clinical_qkt.training.inference import labels_of

LABELS = torch.tensor([0, 0, 1, 1])
OWN = torch.tensor([[4.0, 0.0], [3.0, 0.0], [0.0, 4.0], [0.0, 3.0]])
NAN = torch.nan


def teacher(site, known, score=0.0):
    return SimpleNamespace(site=site, known_columns=set(known), score=lambda q: score)


def with_unknown(answers):
    """The teacher's answers in three columns, of which it does not know the last."""
    return torch.cat([answers, torch.full((len(answers), 1), NAN)], 1)


def test_who_agrees_is_more_similar_than_who_does_not():
    agrees, unsure, contradicts = (
        knfu.similarity(OWN, with_unknown(answers), LABELS, [0, 1]) for answers in (OWN, OWN * 0.1, -OWN * 10)
    )
    assert agrees == pytest.approx(1, abs=1e-6)
    assert agrees > unsure > contradicts
    assert contradicts < 0.2


def test_one_shared_class_says_nothing():
    assert knfu.similarity(OWN, with_unknown(OWN), LABELS, [0]) == 0
    assert knfu.similarity(OWN, with_unknown(OWN), LABELS, []) == 0


@quick(deadline=None, max_examples=25)
@given(st.integers(0, 10_000))
def test_similarity_lies_between_0_and_1_and_takes_both_sides_alike(seed):
    draw = torch.Generator().manual_seed(seed)
    a, b = (torch.randn(4, 2, generator=draw) * 5 for _ in range(2))
    found = knfu.similarity(a, b, LABELS, [0, 1])
    assert -1e-6 <= found <= 1 + 1e-6
    assert found == pytest.approx(knfu.similarity(b, a, LABELS, [0, 1]), abs=1e-5)


def test_neighbours_are_those_above_the_threshold_and_the_best_holder_of_a_class_that_they_lack():
    sites = [teacher("near", [0, 1]), teacher("far", [0, 3]), teacher("farther", [3])]
    similarities = {"near": 0.9, "far": 0.3, "farther": 0.1}
    assert [t.site for t in knfu.neighbours(sites, similarities, [3], 0.5)] == ["near", "far"]
    assert [t.site for t in knfu.neighbours(sites, similarities, [3], 0.2)] == ["near", "far"]
    assert [t.site for t in knfu.neighbours(sites, similarities, [3], 0.0)] == ["near", "far", "farther"]


def test_a_lone_holder_is_found_by_its_score_on_probes_if_nobody_is_similar():
    sites = [teacher("low", [3], 0.5), teacher("high", [3], 0.9)]
    assert [t.site for t in knfu.neighbours(sites, {"low": 0.0, "high": 0.0}, [3], 0.5)] == ["high"]


def test_the_fused_labels_lean_to_the_more_similar():
    yes, no = torch.tensor([[5.0, 0.0, NAN]]), torch.tensor([[0.0, 5.0, NAN]])
    fused = knfu.fuse([yes, no], [0.9, 0.1], temperature=1.0)
    assert fused[0, 0] > 0.85 and fused[0, :2].sum().item() == pytest.approx(1)
    assert torch.isnan(fused[0, 2])
    assert knfu.fuse([yes, no], [0.5, 0.5], 1.0)[0, 0].item() == pytest.approx(0.5)


def test_a_column_is_averaged_over_those_who_know_it():
    two, three = torch.tensor([[0.0, NAN, 0.0]]), torch.tensor([[0.0, 0.0, 0.0]])
    fused = knfu.fuse([two, three], [1.0, 1.0], 2.0)
    column = (1 / 2 + 1 / 3) / 2
    expected = torch.tensor([column, 1 / 3, column])
    assert torch.allclose(fused[0], expected / expected.sum())


def test_a_teacher_without_similarity_still_speaks_where_it_is_alone():
    alone = knfu.fuse([torch.tensor([[0.0, NAN]]), torch.tensor([[NAN, 0.0]])], [1.0, 0.0], 1.0)
    assert torch.allclose(alone, torch.tensor([[0.5, 0.5]]))


def test_the_student_learns_the_queried_class_in_part_and_keeps_its_own(case, held_out):
    before = {k: v.clone() for k, v in case.own.network.state_dict().items()}
    outcome = knfu.run(case, knfu.Settings(max_epochs=4))
    logits, labels = outcome.predict(held_out), labels_of(held_out)
    assert logits.shape == (len(held_out), len(case.labels)) and torch.isfinite(logits).all()
    assert (logits[:, :3].argmax(1) == labels)[labels < 3].float().mean() > 0.8
    # Plain cross-entropy holds the queried class down everywhere, least on its own images: what the budget
    # raises afterwards is this margin.
    margin = logits[:, 3] - logits[:, :3].amax(1)
    raised = margin - margin[labels < 3].quantile(0.95)
    assert (raised[labels == 3] > 0).float().mean() > 0.5
    assert 1 <= outcome.teachers_used <= 2
    assert outcome.bytes_received == sum(t.model.bytes for t in case.teachers)
    after = case.own.network.state_dict()
    assert all(torch.equal(before[k], after[k].cpu()) for k in before)
