"""On a GPU nothing in a step waits: what is next is told before what is under way is done."""

from __future__ import annotations

import pytest
import torch

from clinical_qkt.core.runtime import laid_out
from clinical_qkt.networks.spec import preset
from clinical_qkt.research.benchmark.gpu_training import Case, Waits, ours
from clinical_qkt.training.inference import logits_of

CPU = torch.device("cpu")
on_a_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU whose steps could wait")


@on_a_gpu
@pytest.mark.parametrize("precision", ["single", "mixed"])
def test_a_training_step_on_a_gpu_waits_for_nothing(precision):
    case, waits = Case("resnet_small", 28, 8, 64, precision), Waits()
    ours(case, torch.device("cuda"), waits)
    assert waits.count == 1  # the losses of the epoch are looked at once


@on_a_gpu
def test_waits_are_counted():
    case, waits = Case("resnet_small", 28, 8, 64, "single"), Waits()
    loud = lambda said, targets: said.square().mean() * float(said.sum() * 0 + 1)  # noqa: E731
    ours(case, torch.device("cuda"), waits, loss=loud)
    assert waits.count >= 8


@on_a_gpu
def test_a_network_answers_the_same_on_a_gpu_as_on_a_processor():
    torch.manual_seed(0)
    images = [{"image": torch.randn(3, 28, 28)} for _ in range(600)]
    network = preset("resnet_small", 3, [28, 28]).build(4)
    expected = logits_of(network, images, CPU)
    found = logits_of(network, images, torch.device("cuda"))
    assert torch.linalg.vector_norm(found - expected) < 1e-2 * torch.linalg.vector_norm(expected)


@on_a_gpu
def test_weights_leave_a_gpu_laid_out_as_they_came():
    network = ours(Case("resnet_small", 28, 8, 16, "mixed"), torch.device("cuda"), epochs=1)
    assert all(p.is_contiguous() and p.dtype == torch.float32 for p in network.parameters())


def test_without_a_gpu_batches_stay_as_they_are():
    images = torch.rand(2, 3, 8, 8)
    assert laid_out(images) is images
