"""What follows from a device is decided in one place."""

import os
import re
from pathlib import Path

import pytest
import torch

import clinical_qkt
from clinical_qkt.core import runtime

CPU, GPU = torch.device("cpu"), torch.device("cuda")


def test_the_gpu_is_taken_if_there_is_one(monkeypatch):
    for there in (True, False):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert runtime.device_here() == (GPU if there else CPU)


@pytest.mark.parametrize(("there", "type_"), [(True, torch.bfloat16), (False, torch.float16)])
def test_gpus_use_mixed_precision_unless_it_is_refused_and_no_processes(monkeypatch, there, type_):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: there)
    assert (runtime.mixed_precision(CPU), runtime.mixed_precision(GPU)) == (None, type_)
    with runtime.mixed(False):
        assert runtime.mixed_precision(GPU) is None
    assert runtime.mixed_precision(GPU) is type_
    assert runtime.processes(GPU) == 0


def test_as_many_processes_as_cores_that_may_be_used(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 3, 5}, raising=False)
    for system, count in (("linux", 3), ("darwin", 0), ("win32", 0)):
        monkeypatch.setattr(runtime.sys, "platform", system)
        assert runtime.processes(CPU) == count


def test_batches_are_handed_over_in_order():
    images = [{"image": torch.full((1, 2), float(i))} for i in range(5)]
    parts = [batch["image"][:, 0, 0].tolist() for batch in runtime.loader(images, batch_size=2)]
    assert parts == [[0, 1], [2, 3], [4]]


def test_images_of_a_batch_are_put_together_as_they_are():
    images = [torch.rand(3, 4, 5) for _ in range(3)]
    batch = runtime.laid_out(runtime.stacked(images, CPU))
    assert torch.equal(batch, torch.stack(images)) and batch.is_contiguous()
    assert list(runtime.not_too_far_ahead(iter([1, 2, 3, 4]), CPU)) == [1, 2, 3, 4]
    assert runtime.sent([2, 0], CPU).tolist() == [2, 0]


def test_no_module_decides_the_workers_of_a_loader_by_itself():
    package = Path(clinical_qkt.__file__).parent
    decided = {
        file.relative_to(package).as_posix()
        for file in package.rglob("*.py")
        if re.search(r"num_workers=(?!WORKERS\b)", file.read_text(encoding="utf-8"))
    }
    assert decided == {"query/patient_batches.py"}  # which shares its batches out among processes
