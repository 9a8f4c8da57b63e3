"""What follows from a device is decided in one place."""

import os
import re
from pathlib import Path

import torch

import clinical_qkt
from clinical_qkt.core import runtime

CPU, GPU = torch.device("cpu"), torch.device("cuda")


def test_the_gpu_is_taken_if_there_is_one(monkeypatch):
    for there in (True, False):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert runtime.device_here() == (GPU if there else CPU)


def test_gpus_use_mixed_precision_and_no_processes():
    assert (runtime.mixed_precision(CPU), runtime.mixed_precision(GPU)) == (False, True)
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


def test_no_module_decides_the_workers_of_a_loader_by_itself():
    package = Path(clinical_qkt.__file__).parent
    decided = {
        file.relative_to(package).as_posix()
        for file in package.rglob("*.py")
        if re.search(r"num_workers=(?!WORKERS\b)", file.read_text(encoding="utf-8"))
    }
    assert decided == {"query/patient_batches.py"}  # which shares its batches out among processes
