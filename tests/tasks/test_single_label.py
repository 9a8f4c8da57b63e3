import numpy as np
import pytest
import torch
from sklearn.metrics import confusion_matrix
from torch.nn import functional as F

from clinical_qkt.tasks.single_label import SINGLE_LABEL

RNG = np.random.default_rng(0)
TRUE, CALLED = RNG.integers(4, size=50), RNG.integers(3, size=50)


def test_counts_are_those_of_scikit_learn_also_of_a_class_that_nobody_called():
    found = SINGLE_LABEL.counts(TRUE, CALLED, 5)
    assert found.shape == (5, 5) and found.sum() == 50
    assert (found == confusion_matrix(TRUE, CALLED, labels=range(5))).all()


def test_the_rows_of_all_classes_are_all_rows():
    rows = np.arange(50)
    of_class = SINGLE_LABEL.by_class(rows, TRUE, range(4))
    assert sorted(np.concatenate(of_class)) == rows.tolist()
    assert all((TRUE[mine] == c).all() for c, mine in enumerate(of_class))


def test_arrays_and_tensors_are_decided_alike_of_logits_and_of_probabilities():
    logits = torch.from_numpy(RNG.normal(size=(50, 4)))
    decided = SINGLE_LABEL.decide(logits)
    assert (SINGLE_LABEL.decide(logits.numpy()) == decided.numpy()).all()
    assert (SINGLE_LABEL.decide(SINGLE_LABEL.probabilities(logits)) == decided).all()


def test_the_loss_looks_at_the_label_alone_of_all_that_rides_in_the_batch():
    logits, labels = torch.randn(6, 3), torch.tensor([0, 1, 2, 0, 1, 2])
    found = SINGLE_LABEL.loss(logits, {"label": labels, "own": torch.randn(6, 2)})
    assert found.item() == pytest.approx(F.cross_entropy(logits, labels).item())


def test_what_all_logits_have_in_common_is_no_evidence():
    logits = torch.randn(6, 4, dtype=torch.float64)
    found = SINGLE_LABEL.evidence(logits, query=[3], known=[0, 2])
    assert found.shape == (6, 1)
    assert torch.allclose(SINGLE_LABEL.evidence(logits + 5, query=[3], known=[0, 2]), found)


def test_relabelled_images_keep_everything_else_and_those_of_foreign_classes_are_left_out():
    items = [{"image": c, "label": torch.tensor(i)} for i, c in enumerate("abc")]
    assert SINGLE_LABEL.relabelled(items, {0: None, 2: 0}) == [{"image": "c", "label": 0}]
    assert [item["label"] for item in items] == [0, 1, 2]  # as they were


def test_targets_are_whole_numbers_however_labels_are_held():
    found = SINGLE_LABEL.targets({"label": of(2)} for of in (int, np.int16, torch.tensor))
    assert found.dtype == torch.int64 and found.tolist() == [2, 2, 2]
