"""The file that keeps a gate."""

from __future__ import annotations

import json

import numpy as np
import pytest

from clinical_qkt.core.errors import InputError
from clinical_qkt.evidence.gate import Door
from clinical_qkt.evidence.gate_file import read_gate, write_gate
from clinical_qkt.evidence.pictures import Pictures


def door() -> Door:
    numbers = np.random.default_rng(0).normal(0, 1, (60, 3))
    return Door("energy", 1.25, Pictures.of(numbers, np.repeat([0, 1], 30)))


def test_a_gate_is_read_back_as_it_was_written_beside_the_models_folder(tmp_path):
    path = write_gate(tmp_path / "model", door(), "a" * 64)
    assert path == tmp_path / "gate.json"
    assert read_gate(tmp_path / "model", "a" * 64) == door()
    assert read_gate(tmp_path / "elsewhere" / "model", "a" * 64) is None


def test_a_gate_of_other_weights_is_refused(tmp_path):
    write_gate(tmp_path / "model", door(), "a" * 64)
    with pytest.raises(InputError, match="belongs to another model") as e:
        read_gate(tmp_path / "model", "b" * 64)
    assert "transfer" in e.value.fix


@pytest.mark.parametrize(
    "change",
    [{"score": "loudness"}, {"threshold": "low"}, {"threshold": True}, {"schema": "other/1"}, {"more": 1}],
)
def test_a_damaged_gate_is_refused(tmp_path, change):
    path = write_gate(tmp_path / "model", door(), "a" * 64)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InputError, match="cannot be read"):
        read_gate(tmp_path / "model", "a" * 64)
