"""What prepare chooses by the machine: batches that a training there can hold."""

import pytest
import torch
import yaml

from clinical_qkt.core import memory
from clinical_qkt.core.batches import require_trainable
from clinical_qkt.networks.spec import preset
from clinical_qkt.prepare import fit, machine

from .conftest import prepared


@pytest.fixture
def free(monkeypatch):
    """So many bytes are free."""

    def told(bytes_: int | None) -> None:
        monkeypatch.setattr(machine, "device_here", lambda: torch.device("cpu"))
        monkeypatch.setattr(memory, "free", lambda *_: bytes_)

    return told


@pytest.mark.parametrize("bytes_, room", [(100e9, 2e9), (1e9, 0.5e9), (None, 2e9)])
def test_a_step_may_take_two_gigabytes_or_half_of_what_is_free(free, bytes_, room):
    free(bytes_)
    assert machine.room() == room


def test_a_gpu_may_take_half_of_what_it_has_free(free):
    free(80e9)
    assert machine.room(torch.device("cuda")) == 40e9


@pytest.mark.parametrize(
    "size, count, bytes_, batch",
    [([224, 224], 5000, 64e9, 16), ([512, 512], 5000, 64e9, 4), ([224, 224], 5000, 1.5e9, 8)],
)
def test_a_batch_follows_what_the_network_takes_and_training_with_it_is_not_refused(
    free, size, count, bytes_, batch
):
    free(bytes_)
    name, shape = fit.network(size, count).value, (3, *size)
    chosen = fit.batch(size, count, machine.step(name, shape), machine.room())
    assert chosen.value == batch
    require_trainable(preset(name, 3, size).build(2), shape, batch, "cpu")


def test_prepare_writes_that_batch_and_why(free, large):
    free(5e7)
    out = prepared(large, "--longest-side", "300")
    text = (out / "site.yaml").read_text()
    written = yaml.safe_load(text)
    assert written["spatial_size"] == [300, 200] and written["batch_size"] == 2
    assert "# images in a step of the training; 4 would take" in text
