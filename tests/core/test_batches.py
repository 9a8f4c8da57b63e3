"""How many images at once: enough for speed, no more than memory holds, and told where not even one fits."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from clinical_qkt.core import memory
from clinical_qkt.core.batches import (
    BUDGET,
    KEPT,
    LAST,
    SHARE,
    at_once,
    images_at_once,
    kept,
    require_trainable,
)
from clinical_qkt.core.errors import InputError
from clinical_qkt.networks.spec import preset

pytestmark = pytest.mark.usefixtures("real_footprints")

GB = 10**9


@pytest.fixture
def machine(monkeypatch):
    """A machine with so much memory."""
    return lambda free: monkeypatch.setattr(memory, "free", lambda device: free)


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    return preset("resnet_small", 3, [28, 28]).build(4).eval()


def test_small_images_come_by_the_full_batch_and_large_ones_by_few(network, machine):
    machine(64 * GB)
    sizes = [images_at_once(network, (3, n, n)) for n in (16, 28, 224, 512, 1000)]
    assert sizes[0] == 256 and sizes == sorted(sizes, reverse=True) and sizes[-1] == 1
    assert images_at_once(network, (3, 28, 28), most=128) == 128


def test_batches_are_the_same_on_every_machine_with_enough_memory(network, machine):
    def sizes(free: int) -> list[int]:
        machine(free)
        return [images_at_once(network, (3, n, n)) for n in (28, 64, 224)]

    assert sizes(int(BUDGET["cpu"] / SHARE)) == sizes(512 * GB)
    assert sizes(GB // 8) < sizes(512 * GB)


def test_a_batch_takes_its_share_of_what_is_free_one_image_more_and_else_it_is_refused(machine):
    machine(1000)
    assert at_once(lambda n: 10 * n, most=64) == 16  # 250 of 1000 bytes
    assert at_once(lambda n: LAST * 1000 * n, most=64) == 1
    with pytest.raises(InputError, match="package of b: a thing needs about 1 MB of memory, 1 MB are free"):
        at_once(lambda n: LAST * 1000 * n + 1, what="a thing", where="package of b")


def test_where_nothing_is_known_of_the_memory_the_budget_alone_counts(machine):
    machine(None)
    assert at_once(lambda n: BUDGET["cpu"] // 8 * n) == 8 and at_once(lambda n: 2 * BUDGET["cpu"] * n) == 1


def test_an_image_that_does_not_fit_is_refused_before_anything_is_computed(network, machine):
    machine(GB)
    with pytest.raises(InputError, match="an image of 9000x9000 with 3 channels needs about"):
        images_at_once(network, (3, 9000, 9000))


def test_a_training_that_cannot_fit_is_refused_with_the_batch_that_could(network, machine):
    machine(4 * GB)
    require_trainable(network, (3, 224, 224), 16, "cpu")
    with pytest.raises(InputError, match=r"batch_size: training on 512 images .*\n.*set it to \d+ or less"):
        require_trainable(network, (3, 224, 224), 512, "cpu")


def test_images_of_the_own_model_are_kept_as_far_as_they_fit_and_others_all_or_none(machine):
    machine(1000 * 4 * 100)
    assert [kept(n, (1, 10, 10)) for n in (10, 500, 2000)] == [10, 500, int(KEPT * 1000)]
    assert [kept(n, (1, 10, 10), own=False) for n in (10, 100, 101)] == [10, 100, 0]
