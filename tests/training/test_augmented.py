"""Training images by the batch are what they were one by one, and so are the weights."""

from __future__ import annotations

import pytest
import torch
from monai.data import Dataset
from monai.data.utils import set_rnd
from monai.transforms import Compose, RandGaussianNoised
from torch import nn
from torch.nn import functional as F

from clinical_qkt.core import memory
from clinical_qkt.core.batches import SHARE, held
from clinical_qkt.core.errors import InputError
from clinical_qkt.core.runtime import loader
from clinical_qkt.data.transforms import symmetries
from clinical_qkt.training import loop
from clinical_qkt.training.augmented import Augmented, whole
from clinical_qkt.training.loop import plain_tensors, train

CPU = torch.device("cpu")


def items(count: int = 20) -> list[dict]:
    torch.manual_seed(0)
    return [
        {"image": torch.rand(1, 4, 4), "label": i % 3, "said": torch.rand(2), "patient": f"p{i}"}
        for i in range(count)
    ]


@pytest.mark.parametrize("augment", [symmetries([4, 4]), [], [RandGaussianNoised("image", prob=1.0)]])
def test_batches_are_those_of_a_plain_loader(augment):
    plain, ours = Dataset(items(), Compose(augment)), Augmented(items(), augment, CPU)
    found = []
    for data, how in ((plain, {}), (ours, {"collate_fn": whole})):
        set_rnd(data, 7)
        torch.manual_seed(1)
        with plain_tensors():
            found.append(list(loader(data, batch_size=8, shuffle=True, **how)))
    for expected, batch in zip(*found, strict=True):
        assert expected["patient"] == batch["patient"] and expected.keys() == batch.keys()
        assert all(torch.equal(expected[k], batch[k]) for k in ("image", "label", "said"))


def test_a_gpu_keeps_images_that_take_no_more_than_their_share(monkeypatch):
    monkeypatch.setattr(memory, "free", lambda _: 1000)
    gpu, most = torch.device("cuda"), int(SHARE * 1000) // 40
    assert held(most, (1, 10), gpu) and not held(most + 1, (1, 10), gpu)
    assert not held(1, (1, 10), CPU)


def test_in_mixed_precision_a_loss_is_computed_in_single():
    def loss(said, targets):
        assert said[0].dtype is said[1].dtype is torch.float32
        return said[0].sum()

    halves = tuple(torch.ones(2, dtype=torch.bfloat16) for _ in range(2))
    assert loop._in_single_precision(loss)(halves, {}) == 2


def test_weights_are_laid_out_for_a_gpu_only_as_long_as_it_trains():
    network = nn.Conv2d(3, 4, 3)
    with loop.channels_last(network, True):
        assert network.weight.is_contiguous(memory_format=torch.channels_last)
    assert network.weight.is_contiguous()


def test_a_loss_that_is_no_number_ends_the_training_in_the_very_step_on_a_processor():
    steps = []

    def loss(said, targets):
        steps.append(1)
        return F.cross_entropy(said, targets["label"]) * (float("nan") if len(steps) == 2 else 1)

    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    how = {"max_epochs": 2, "learning_rate": 0.01, "batch_size": 4, "seed": 0, "device": CPU, "what": "x"}
    with pytest.raises(InputError, match="the loss became nan in epoch 1"):
        train(network, items(), symmetries([4, 4]), loss, **how)
    assert len(steps) == 2
