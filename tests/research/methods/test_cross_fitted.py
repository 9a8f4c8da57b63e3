"""Rivals that say of a training image what they would without it: only then may it judge their forgetting."""

from dataclasses import replace

import pytest
import torch

from clinical_qkt.data.folds import CLOSED_FORM, folds_of
from clinical_qkt.research.methods import METHODS, features
from clinical_qkt.research.methods.requested import Requested, requested
from clinical_qkt.training.inference import labels_of

REFITTED = {
    "prototypes": ("prototypes", {}),
    "fedpft": ("fedpft", {"epochs": 3}),
    **{f"gaussian_head_{h}": ("gaussian_head", {"head": h}) for h in ("naive_bayes", "linear", "quadratic")},
    "gaussian_head_residual": ("gaussian_head", {"head": "residual", "draws": 100, "epochs": 2}),
}
AS_THEY_ARE = {
    "local": ("local", {}),
    "ensemble": ("ensemble", {}),
    "masked_ensemble": ("ensemble", {"masked": True}),
}


@pytest.fixture(scope="module")
def kept():
    return {}


@pytest.fixture
def case(case, kept):
    """With held-out logits that are known again, and the sites' features computed once."""
    own = torch.eye(3)[labels_of(case.training)] * 5 + torch.linspace(0, 1, len(case.training))[:, None]
    return replace(case, own_held_out=own, kept=kept)


def outcome(case, name):
    method, settings = (REFITTED | AS_THEY_ARE)[name]
    return METHODS[method].run(case, METHODS[method].settings(**settings))


def directions(logits):
    """Logits but for offset and scale: one temperature for all images is chosen on validation images."""
    centred = logits - logits.mean(1, keepdim=True)
    return centred / centred.norm(dim=1, keepdim=True)


@pytest.mark.parametrize("name", REFITTED)
def test_an_image_has_no_say_in_what_is_said_of_its_fold(name, case):
    question = requested(case, None)
    seen, labels = question.training
    folds = torch.from_numpy(folds_of(labels, count=CLOSED_FORM, seed=case.seed))
    first = outcome(case, name).cross_fitted
    changed = seen.clone()
    changed[0] += 50.0
    (key,) = case.kept
    other = replace(case, kept={key: replace(question, training=(changed, labels))})
    second = outcome(other, name).cross_fitted
    mine, others = folds == folds[0], folds != folds[0]
    mine[0] = False
    far = (directions(first) - directions(second)).abs().amax(1)
    assert first.shape == (len(case.training), 4) and far[mine].max() < 1e-5 < far[others].min()


@pytest.mark.parametrize("name", AS_THEY_ARE)
def test_the_own_model_speaks_by_folds_beside_models_that_never_saw_the_images(name, case):
    case = replace(case, training=case.training[::6], own_held_out=case.own_held_out[::6])
    found = outcome(case, name).cross_fitted
    shifted = replace(case, own_held_out=case.own_held_out * torch.tensor([1.0, 0.5, 2.0]))
    assert found.shape == (len(case.training), 4)
    assert not torch.allclose(found, outcome(shifted, name).cross_fitted)
    as_usual = outcome(case, name).predict(case.training)
    with_own = replace(case, own_held_out=case.own_logits)
    assert torch.allclose(outcome(with_own, name).cross_fitted, as_usual, atol=1e-4)


def test_without_own_logits_by_folds_nothing_is_cross_fitted(case):
    without = replace(case, own_held_out=None)
    assert all(outcome(without, name).cross_fitted is None for name in (*AS_THEY_ARE, "prototypes"))


def test_images_of_queried_classes_have_rows_that_are_left_empty(case):
    """A few of them may be among the training images, and are in no question's features."""
    own = case.training[:20] + case.training[60:80] + case.training[120:140]
    training = [own[0], {**own[1], "label": 3}, *own[1:]]
    given = torch.arange(60.0)[:, None], labels_of(own)
    question = Requested(requested(case, None).extractor, given, given, [])
    some = replace(case, training=training, own_held_out=torch.zeros(61, 3))

    def fit(seen, labels):
        return lambda asked: torch.isin(asked, seen).double() * torch.ones(4) + 1 + asked

    found = features.of_features(some, question, fit, 0, 0).cross_fitted
    assert torch.equal(found[:, 0], torch.tensor([1.0, 0.0, *range(2, 61)]))  # no row was fitted to itself


def test_a_class_of_too_few_images_is_not_refitted(case):
    given = torch.arange(12.0)[:, None], torch.tensor([0] * 10 + [1] * 2)
    question = Requested(requested(case, None).extractor, given, given, [])
    with_few = replace(case, own_held_out=torch.zeros(12, 3))
    assert features.of_features(with_few, question, lambda *_: lambda f: f, 0, 0).cross_fitted is None
