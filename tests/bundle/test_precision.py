"""Each training of a stage obeys its key ``amp``."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from clinical_qkt.bundle.running import in_its_way
from clinical_qkt.core.runtime import mixed_precision


@pytest.mark.parametrize("amp", [True, False])
def test_a_training_within_a_stage_uses_mixed_precision_only_if_it_may(monkeypatch, tmp_path, amp):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    parser = SimpleNamespace(get_parsed_content={"amp": amp}.__getitem__)
    workflow = SimpleNamespace(parser=parser, run=lambda: mixed_precision(torch.device("cuda")))
    site = SimpleNamespace(output_dir=tmp_path, image_cache="auto")
    assert in_its_way(workflow, site)() == (torch.bfloat16 if amp else None)
