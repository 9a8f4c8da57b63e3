"""The tensors' table of names, read without the tensors."""

import json

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from clinical_qkt.packages.tensor_table import read_header

NUMBERS = {
    "b": torch.zeros(2, 3),
    "a": torch.ones(4, dtype=torch.int64),
    "c": torch.zeros(()),
    "e": torch.zeros(0),
}
VALUES = st.integers(-8, 80) | st.lists(st.integers(-8, 80), max_size=4) | st.text(max_size=4) | st.none()


@pytest.fixture
def file(tmp_path):
    save_file(NUMBERS, tmp_path / "t.safetensors")
    return tmp_path / "t.safetensors"


def test_names_shapes_and_types_are_those_of_the_library(file):
    assert read_header(file) == {
        "a": ([4], "I64"), "b": ([2, 3], "F32"), "c": ([], "F32"), "e": ([0], "F32"),
    }  # fmt: skip


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from("abce"),
    field=st.sampled_from(["dtype", "shape", "data_offsets", "more"]),
    value=VALUES,
)
def test_what_is_taken_the_library_can_read_too(file, name, field, value):
    """What is refused here never reaches the library; what passes must not surprise it."""
    raw = file.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    table = json.loads(raw[8 : 8 + length])
    table[name][field] = value
    text = json.dumps(table).encode()
    other = file.with_name("other.safetensors")
    other.write_bytes(len(text).to_bytes(8, "little") + text + raw[8 + length :])
    try:
        found = read_header(other)
    except ValueError:
        return
    try:
        with safe_open(other, framework="pt") as f:
            assert {k: list(f.get_tensor(k).shape) for k in f.keys()} == {k: s for k, (s, _) in found.items()}  # noqa: SIM118
    except SafetensorError as e:
        raise AssertionError(f"taken, and yet {e}") from e


@given(raw=st.binary(max_size=60))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_bytes_are_refused_or_hold_nothing(tmp_path, raw):
    (tmp_path / "t").write_bytes(raw)
    try:
        assert read_header(tmp_path / "t") == {}
    except ValueError as e:
        assert str(e).isprintable()
