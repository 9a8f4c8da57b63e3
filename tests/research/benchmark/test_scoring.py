"""A row's figures: what the rule reached, what it promised, and what no rule could have reached."""

from dataclasses import replace

import pytest
import torch

from clinical_qkt.qkt.forgetting_budget import Promise
from clinical_qkt.research.benchmark.rows import MEASURED
from clinical_qkt.research.benchmark.scoring import held_out, score

PROMISE = Promise(mean=2, worst=5, confidence=0.75)
ELSEWHERE = {"teachers_used", "bytes_received", "seconds"}


def images(count, classes=4):
    return [{"image": torch.zeros(1), "label": c} for c in range(classes) for _ in range(count)]


def answers(items, seed, apart=3.0):
    """Logits of a model that is mostly right."""
    labels = torch.tensor([i["label"] for i in items])
    noise = torch.randn(len(items), 4, generator=torch.Generator().manual_seed(seed))
    return noise + apart * torch.nn.functional.one_hot(labels, 4)


@pytest.fixture
def given(case):
    """A case of 40 validation and 200 training images a class, and what a method and the own model say."""
    training, validation, test = images(200, 3), images(40, 3), images(300)
    own = answers(training, 1)[:, :3]
    case = replace(case, training=training, validation=validation, own_held_out=own)
    logits = {}
    for key, items, seed in (("validation", validation, 2), ("test", test, 3)):
        logits[key] = answers(items, seed)
        logits[f"own_{key}"] = logits[key].clone()
        logits[f"own_{key}"][:, 3] = -30
    cross_fitted = torch.cat([own, answers(training, 1)[:, 3:]], 1)
    return case, logits, test, cross_fitted


def test_a_row_has_every_figure_that_is_measured(given):
    case, logits, test, cross_fitted = given
    found = score(case, logits, test, PROMISE, cross_fitted)
    assert set(found) == set(MEASURED) - ELSEWHERE
    assert found["budget_state"] == "shown" and found["budget_kept"]
    assert found["held_out_images"] == 720 and found["cross_fitted_images"] == 600
    assert found["promised_mean_bound"] <= 0.02 + 1e-6 and found["promised_worst_bound"] <= 0.05 + 1e-6
    assert found["mean_kept_on_test"] == (found["forgetting_at_budget"] <= 0.02)
    assert found["worst_kept_on_test"] == (found["forgetting_worst_at_budget"] <= 0.05)


def test_without_training_images_there_is_less_to_show(given):
    case, logits, test, cross_fitted = given
    few, many = (score(case, logits, test, PROMISE, c) for c in (None, cross_fitted))
    assert few["held_out_images"] == 120 and few["cross_fitted_images"] == 0
    assert few["query_recall_at_budget"] < many["query_recall_at_budget"]
    unheld = replace(case, own_held_out=None)
    assert len(held_out(unheld, logits, cross_fitted)) == 120


def test_no_rule_could_have_reached_more_than_the_oracle_within_the_budget(given):
    case, logits, test, cross_fitted = given
    found = score(case, logits, test, PROMISE, cross_fitted)
    within = [recall for lost, recall, _ in found["trade"] if lost <= 0.02]
    assert found["query_recall_at_oracle"] >= max(within) - 0.02
    beyond = [recall for lost, recall, _ in found["trade"] if lost > 0.02]
    assert found["query_recall_at_oracle"] <= min(beyond) + 1e-6


def test_the_trade_rises_in_all_that_it_tells(given):
    case, logits, test, _ = given
    trade = score(case, logits, test, PROMISE)["trade"]
    assert len(trade) == 25
    for column in zip(*trade, strict=True):
        assert list(column) == sorted(column)
    assert trade[0][2] == 0 and trade[-1][2] == pytest.approx(0.5, abs=0.01)
