"""What new models tell of a response: the attack finds what is there, and nothing where nothing is."""

from __future__ import annotations

import pytest
import torch

from clinical_qkt.core.errors import InputError
from clinical_qkt.data.sources import open_source
from clinical_qkt.research import what_new_models_tell as tells


def test_what_goes_with_a_mean_is_learnt_and_what_does_not_is_not():
    torch.manual_seed(0)
    means = torch.randn(80, 3).double()
    said = means @ torch.randn(3, 40).double() + 0.01 * torch.randn(80, 40).double()
    found = tells.learnt(said, means, 60)
    assert tells.explained(found, means[60:], means[:60]) > 0.95
    nothing = tells.learnt(torch.randn(80, 40).double(), means, 60)
    assert tells.explained(nothing, means[60:], means[:60]) < 0.2
    assert tells.explained(means[:60].mean(0).expand(20, 3), means[60:], means[:60]) == pytest.approx(0)


def test_whose_images_a_mean_is_of_can_be_told_from_the_mean_itself():
    torch.manual_seed(0)
    pool = torch.randn(60, 30).double()
    chosen = [torch.randperm(60)[:20] for _ in range(4)]
    exact = torch.stack([pool[c].mean(0) for c in chosen])
    assert tells.membership(exact, pool, chosen) > 0.8
    assert abs(tells.membership(torch.randn(4, 30).double(), pool, chosen) - 0.5) < 0.2


def test_the_third_mean_is_read_off_the_gaussian_model_alone(npz, monkeypatch):
    for name, number in {"EACH": 8, "RESPONSE": 8, "POOL": 12, "OWN": 3}.items():
        monkeypatch.setattr(tells, name, number)
    one = tells.student(open_source(npz), "violet", 0)
    rows = {row["model"]: row for row in tells.measured(one, 8, epochs=0)}
    assert rows[tells.GAUSSIAN]["explained"] > 0.999 and set(rows) == {
        tells.GAUSSIAN,
        tells.SAME,
        tells.OTHER,
    }
    assert "Gaussian" in tells.table([*rows.values()])
    with pytest.raises(InputError, match="no class 'lilac'"):
        tells.student(open_source(npz), "lilac", 0)
