"""An asker subtracts exact responses until one patient is left over.

Exact responses cost no budget, and the asker chooses the network. In the version before the same query, asked
before and after Ms A became a patient, gave two means whose difference is Ms A; and a class was answered for
as often as somebody sent another network.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from clinical_qkt.packages.query import load_query
from tests.attacks.hospital import Hospital, asked

EXACT: dict[str, Any] = {"kinds": ["mean"], "minimum_patients": 20}
OFTEN = EXACT | {"exact_responses_per_class": 5}
IMAGES = 48


@pytest.fixture
def hospital(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hospital:
    monkeypatch.chdir(tmp_path)
    return Hospital(tmp_path / "hospital").prepare()


def query(folder: Path, seed: int = 0) -> Path:
    return asked(folder, seed=seed, welcome="mean")


def mean(told: dict[str, Any]) -> torch.Tensor:
    return torch.tensor(told["numbers"]["0.mean"], dtype=torch.float64)


def features(query: Path, hospital: Hospital, *images: int) -> torch.Tensor:
    """What the asker's network makes of some red images: what he is after."""
    shown = [np.asarray(Image.open(hospital.folder / f"images/pred{i:03d}.png"), np.float32) for i in images]
    given = torch.tensor(np.stack(shown)).permute(0, 3, 2, 1) / 127.5 - 1
    return load_query(query).extractor(given)[1].sum(0).double()


@pytest.mark.slow
def test_a_patient_who_came_is_not_what_two_answers_to_one_query_differ_by(hospital, tmp_path):
    asks = query(tmp_path / "q")
    before = mean(hospital.first(asks, tmp_path / "a", policy=EXACT))
    hospital.prepare(patients=25)  # Ms A has come, with two images
    after = mean(hospital.answer(asks, tmp_path / "b", policy=EXACT)[1])
    found = after * (IMAGES + 2) - before * IMAGES
    hers = features(asks, hospital, IMAGES, IMAGES + 1)
    assert (found - hers).norm() > 0.01 * hers.norm()  # it was found to a millionth
    assert torch.equal(before, after)


@pytest.mark.slow
def test_another_network_gets_no_second_answer_for_the_same_patients(hospital, tmp_path):
    hospital.first(query(tmp_path / "q0"), tmp_path / "a0", policy=EXACT)
    assert hospital.answer(query(tmp_path / "q1", seed=1), tmp_path / "a1", policy=EXACT)[1]["declined"]


@pytest.mark.slow
def test_where_several_answers_are_allowed_none_is_of_nearly_the_same_patients(hospital, tmp_path):
    allowed = OFTEN if "exact_responses_per_class" in policy_keys() else EXACT
    hospital.first(query(tmp_path / "q0"), tmp_path / "a0", policy=allowed)
    hospital.prepare(patients=25)
    declined = hospital.answer(query(tmp_path / "q1", seed=1), tmp_path / "a1", policy=allowed)[1]["declined"]
    assert declined
    hospital.prepare(patients=24)
    assert hospital.answer(query(tmp_path / "q2", seed=2), tmp_path / "a2", policy=allowed)[1]["numbers"]


def policy_keys() -> set[str]:
    from clinical_qkt.site.policy import Policy

    return set(Policy.model_fields)
