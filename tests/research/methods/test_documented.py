"""Plugins, in the lines that docs/explanation/architecture.md shows."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from clinical_qkt.core.values import Strict
from clinical_qkt.networks import listed
from clinical_qkt.networks.registry import ALLOWED, PRESETS
from clinical_qkt.networks.spec import NetworkSpec, preset
from clinical_qkt.privacy import mechanisms
from clinical_qkt.qkt.losses import DIVERGENCES, divergence, mean_divergence
from clinical_qkt.qkt.settings import TransferSettings
from clinical_qkt.qkt.targets import aligned
from clinical_qkt.research.methods.case import Case, Outcome
from clinical_qkt.research.methods.registry import METHODS, method
from clinical_qkt.training.inference import Images
from tests.conftest import ROOT

NAMES: dict[str, Any] = {
    **{"Strict": Strict, "Field": Field, "method": method, "Case": Case, "Outcome": Outcome, "F": F},
    **{"Images": Images, "Tensor": Tensor, "aligned": aligned, "torch": torch, "divergence": divergence},
}


def code(heading: str) -> str:
    """A section's code."""
    page = (ROOT / "docs/explanation/architecture.md").read_text()
    section = page.split(f"\n### {heading}\n")[1].split("\n### ")[0]
    return textwrap.dedent("\n".join(re.findall(r"^(?:    .*|)$", section, re.M)))


def shown(heading: str) -> dict[str, Any]:
    """What a section's code makes."""
    made = dict(NAMES)
    exec(code(heading), made)
    return made


@pytest.fixture(autouse=True)
def _gone_afterwards() -> Iterator[None]:
    lists: tuple[dict[str, Any], ...] = (METHODS, DIVERGENCES, ALLOWED, PRESETS)
    before = [dict(names) for names in lists]
    yield
    for names, earlier in zip(lists, before, strict=True):
        names.clear()
        names.update(earlier)


def test_the_rival_is_registered_and_gives_a_logit_a_class(case, held_out):
    shown("A rival")
    rival = METHODS["loudest"]
    logits = rival.run(case, rival.settings(scale=2)).predict(held_out)
    assert logits.shape == (len(held_out), 4) and torch.isfinite(logits).all()
    assert torch.equal(logits, 2 * rival.run(case, rival.settings()).predict(held_out))


def test_the_divergence_may_be_named_in_a_config_and_is_zero_for_the_teacher_itself():
    shown("A divergence")
    assert TransferSettings(divergence="huber").divergence == "huber"
    said = torch.tensor([[1.0, 3.0, 5.0]])
    told = {"query": [2], "local": [0, 1], "temperature": 2.0, "progress": 1.0}
    assert mean_divergence("huber", said, said[:, None], **told) == 0
    assert mean_divergence("huber", said, torch.zeros(1, 1, 3), **told) > 0


def test_the_network_is_built_under_its_short_name_and_bounded_as_the_others_are():
    ALLOWED.update(eval(f"{{{code('A network')}}}", vars(listed)))
    PRESETS["seresnext_small"] = "SEResNext50"
    spec = preset("seresnext_small", 3, (64, 64))
    assert spec.name == "SEResNext50" and spec.blocks == 8
    with pytest.raises(ValueError, match="deeper than 112 blocks"):
        NetworkSpec(name="SEResNext50", spatial_dims=2, in_channels=3, args={"layers": [60]})
    with pytest.raises(ValueError, match="takes no argument 'pretrained' here"):
        NetworkSpec(name="SEResNext50", spatial_dims=2, in_channels=3, args={"pretrained": True})


def test_the_release_mechanism_adds_up_as_the_private_one_does_and_asks_for_the_noise_that_it_needs():
    made = vars(mechanisms) | {}
    exec(code("A release mechanism"), made)
    contributions = torch.tensor([[600, -800], [0, 1024]])
    asked = []

    def noise(scale: int, numbers: int) -> list[int]:
        asked.append(scale)
        return [0] * numbers

    guarantee = mechanisms.Guarantee(1.0, 0.0)
    release = made["laplace_release"](contributions, guarantee, noise)
    assert release == mechanisms.private_release(contributions, mechanisms.Guarantee(1.0, 1e-5), noise)
    longest = int(contributions.abs().sum(1).max()) + mechanisms.COUNT_STEPS
    assert asked[0] >= longest / guarantee.epsilon
