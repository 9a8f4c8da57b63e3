"""A model that was probed is not probed again in the same way; scores are never taken from a package."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from clinical_qkt.core.tensor_cache import OF
from clinical_qkt.data.label_space import LabelSpace
from clinical_qkt.packages.card import KnowledgeMask
from clinical_qkt.qkt import knowledge_masks
from clinical_qkt.qkt.probing import probe
from clinical_qkt.qkt.teachers import read_teachers
from tests.qkt.test_teachers import package

HOW = {"seed": 0, "device": torch.device("cpu"), "count": 16}


@pytest.fixture
def probed(monkeypatch) -> list[int]:
    """How often a network was probed, with how many probes."""
    asked: list[int] = []
    true = knowledge_masks.of_probes

    def counted(*given, **how):
        asked.append(how["count"])
        return true(*given, **how)

    monkeypatch.setattr(knowledge_masks, "of_probes", counted)
    return asked


@pytest.fixture
def model(tmp_path):
    return read_teachers([package(tmp_path, "one", ["a", "b"], known=["a"])], LabelSpace(["a", "b"]))[0]


def test_the_second_time_costs_nothing_and_another_way_of_probing_does(model, tmp_path, probed):
    kept = tmp_path / "probes"
    first, again = (probe(model, **HOW, kept=kept) for _ in range(2))
    assert probed == [16] and torch.equal(first.scores, again.scores) and first.known == [True, False]
    for other in ({"count": 18}, {"seed": 1}, {"statistic": "mean"}):
        probe(model, **{**HOW, **other}, kept=kept)
    with torch.no_grad():
        model.model.network.fc.bias.zero_()  # whatever the card says of the weights
    assert probe(model, **HOW, kept=kept).known == [True, True]
    assert probed == [16, 18, 16, 16, 16]


@pytest.mark.parametrize(
    "wrong", [torch.tensor([0.0, 2.0]), torch.tensor([0.1]), torch.tensor([0.5, torch.nan])]
)
def test_scores_that_cannot_be_of_this_model_are_made_again(model, tmp_path, probed, wrong):
    kept = tmp_path / "probes"
    right = probe(model, **HOW, kept=kept).scores
    file = next(kept.iterdir())
    with safe_open(file, framework="pt") as found:
        of = found.metadata()[OF]
    save_file({OF: torch.tensor(wrong)}, file, {OF: of})
    assert torch.equal(probe(model, **HOW, kept=kept).scores, right) and len(probed) == 2


def test_what_a_card_says_of_its_mask_is_not_taken(model, tmp_path, probed):
    told = KnowledgeMask(scores={"a": 0.0, "b": 1.0}, threshold=0.1)
    card = model.model.card.model_copy(update={"knowledge_mask": told})
    claims = replace(model, model=replace(model.model, card=card))
    assert probe(claims, **HOW, kept=tmp_path / "probes").known == [True, False]
