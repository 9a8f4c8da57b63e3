"""The audit of a site's own model trains its shadow models as the card says that the model was trained."""

from __future__ import annotations

import torch

from clinical_qkt.audit.own import with_privacy
from clinical_qkt.audit.shadows import Recipe
from clinical_qkt.networks.spec import preset
from clinical_qkt.privacy.statement import DifferentialPrivacy
from clinical_qkt.training import dp_training

SPEC = preset("densenet_private", 3, [28, 28])


def trained_with(monkeypatch, unit):
    """What a shadow model of four images of two patients would be trained with."""
    found = {}

    def instead(network, items, augment, loss, **given):
        found.update(given, items=items)
        return network, None

    monkeypatch.setattr(dp_training, "train_privately", instead)
    how = {"noise_multiplier": 1.0, "max_grad_norm": 0.7, "epsilon": 3.0, "delta": 1e-4}
    recipe = with_privacy(Recipe(SPEC, 5, 32, 0.02), DifferentialPrivacy(unit=unit, **how))
    items = [{"image": torch.zeros(3, 28, 28), "label": i % 2, "patient": f"p{i // 2}"} for i in range(4)]
    recipe.train(recipe, SPEC.build(2), items, seed=0, device=torch.device("cpu"), what="", work=None)
    return found, recipe


def test_shadow_models_get_the_guarantee_that_the_card_states(monkeypatch):
    found, recipe = trained_with(monkeypatch, "patient")
    assert found["patients"] == ["p0", "p0", "p1", "p1"]
    assert (found["epsilon"], found["delta"], found["max_grad_norm"]) == (3.0, 1e-4, 0.7)
    assert (found["max_epochs"], found["batch_size"], found["learning_rate"]) == (5, 32, 0.02)
    assert (
        recipe.facts() != Recipe(SPEC, 5, 32, 0.02).facts()
    )  # no plain shadow model is taken for one of these


def test_where_images_are_protected_no_patients_are_grouped(monkeypatch):
    assert trained_with(monkeypatch, "image")[0]["patients"] is None
