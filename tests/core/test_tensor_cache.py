"""What was computed once is there for the next run, if it is the same, whole, and of the right form."""

from __future__ import annotations

import os
import stat

import pytest
import torch
from safetensors.torch import save_file

from clinical_qkt.core import tensor_cache
from clinical_qkt.core.tensor_cache import OF, digest_of_tensors, drop_oldest, remembered

RIGHT = torch.arange(3.0)


@pytest.fixture
def made():
    """How often it was computed."""
    return []


@pytest.fixture
def ask(tmp_path, made):
    def again(facts: str = "of a", **how) -> torch.Tensor:
        return remembered(tmp_path / "kept", facts, lambda: made.append(facts) or RIGHT.clone(), **how)

    return again


def test_it_is_computed_once_for_the_same_facts_and_lies_there_for_its_owner_alone(ask, made, tmp_path):
    assert torch.equal(ask(), RIGHT) and torch.equal(ask(), RIGHT) and made == ["of a"]
    ask("of b")
    files = list((tmp_path / "kept").iterdir())
    assert made == ["of a", "of b"] and {stat.S_IMODE(f.stat().st_mode) for f in files} == {0o600}
    assert len(files) == 2 and stat.S_IMODE((tmp_path / "kept").stat().st_mode) == 0o700
    assert not any("of a" in f.name for f in files)


@pytest.mark.parametrize("harm", ["half", "other", "foreign", "form"])
def test_what_is_damaged_foreign_or_of_another_form_is_computed_again(ask, made, tmp_path, harm):
    ask()
    file = next((tmp_path / "kept").iterdir())
    whole = file.read_bytes()
    if harm == "half":
        file.write_bytes(whole[:-5])
    if harm == "other":
        save_file({"x": RIGHT + 1}, file)
    if harm == "foreign":
        save_file({OF: RIGHT + 1}, file, {OF: "0" * 64})
    found = ask(fits=(lambda t: False) if harm == "form" else None)
    assert torch.equal(found, RIGHT) and made == ["of a"] * 2 and file.read_bytes() == whole


def test_a_disk_that_takes_nothing_costs_time_and_no_result(ask, made, monkeypatch, capsys):
    def full(*given, **how):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tensor_cache, "write_whole", full)
    assert torch.equal(ask(), RIGHT) and torch.equal(ask(), RIGHT) and len(made) == 2
    assert "takes nothing for the next run" in capsys.readouterr().err


def test_a_digest_is_of_names_types_shapes_and_values():
    one = {"a": torch.zeros(4), "b": torch.ones(2)}
    others = [
        {"a": torch.zeros(4)},
        {"a": torch.zeros(4), "c": torch.ones(2)},
        {"a": torch.zeros(2, 2), "b": torch.ones(2)},
        {"a": torch.zeros(4).double(), "b": torch.ones(2)},
        {"a": torch.zeros(4), "b": torch.tensor([1.0, 1.0000001])},
    ]
    assert len({digest_of_tensors(x) for x in (one, *others)}) == 6
    assert digest_of_tensors(dict(reversed(one.items()))) == digest_of_tensors(one)
    assert digest_of_tensors({"a": torch.tensor(True)}) != digest_of_tensors({"a": torch.tensor(False)})


def test_what_was_used_longest_ago_goes_first(ask, tmp_path):
    for facts in "abc":
        ask(facts)
    files = sorted((tmp_path / "kept").iterdir())
    for k, file in enumerate(files):
        os.utime(file, (k + 1, k + 1))
    size = files[0].stat().st_size
    drop_oldest(tmp_path / "kept", 2 * size)
    assert sorted((tmp_path / "kept").iterdir()) == files[1:]
