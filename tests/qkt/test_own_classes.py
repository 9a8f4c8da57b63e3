"""Who settles which own class an image shows: whoever is right more often about own held-out images."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from clinical_qkt.networks.joint_opinion import own_settled
from clinical_qkt.qkt.own_classes import settled
from clinical_qkt.qkt.teachers import committee
from clinical_qkt.research.methods.case import CaseImages
from clinical_qkt.training.inference import labels_of, logits_of

CPU = torch.device("cpu")


@pytest.fixture
def told(case):
    """A committee, and what is said of training images by somebody who knows, and by somebody who guesses."""
    labels = labels_of(case.training)
    knows = 9.0 * torch.nn.functional.one_hot(labels, len(case.labels))[:, case.local].float()
    return committee(case.own, case.teachers, case.labels), knows


def by_fold(case, own):
    found = torch.zeros(len(own), len(case.labels))
    found[:, case.local] = own
    return found


def test_the_own_model_settles_it_where_it_is_right_more_often(case, told):
    joined, knows = told
    wrong = by_fold(case, -knows)
    found, fold = settled(case, CaseImages(case), joined, case.own, wrong, knows)
    assert found.card.network.own == case.local and joined.card.network.own == []
    assert torch.allclose(fold, own_settled(wrong, knows, case.local))
    before, now = (logits_of(n, case.validation, CPU) for n in (joined.network, found.network))
    assert torch.allclose(before.softmax(1)[:, case.query], now.softmax(1)[:, case.query], atol=1e-4)
    own = logits_of(case.own.network, case.validation, CPU)
    assert torch.equal(now[:, case.local].argmax(1), own.argmax(1))


def test_the_joint_opinion_settles_it_where_it_is_as_good(case, told):
    joined, knows = told
    right = by_fold(case, knows)
    found, fold = settled(case, CaseImages(case), joined, case.own, right, -knows)
    assert found is joined and fold is right


def test_without_training_images_that_are_held_out_validation_images_alone_decide(case, told):
    joined, _ = told
    found, fold = settled(replace(case, own_held_out=None), CaseImages(case), joined, case.own, None, None)
    assert fold is None
    own = logits_of(case.own.network, case.validation, CPU).argmax(1) == labels_of(case.validation)
    together = logits_of(joined.network, case.validation, CPU)[:, case.local].argmax(1)
    better = own.float().mean() > (together == labels_of(case.validation)).float().mean()
    assert bool(found.card.network.own) == bool(better)
