"""Passes over many images keep a few numbers of each, and no more memory than these."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from clinical_qkt.core.rows import Rows

GROWS = """
import sys, torch
from clinical_qkt.core import memory
from clinical_qkt.data.inputs import InputContract
from clinical_qkt.qkt.gate import picture_numbers
from clinical_qkt.query.looks import numbers_of

class Images(list):
    def __len__(self):
        return count
    def __getitem__(self, i):
        return {"image": torch.full((3, 400, 400), i / count)}

given = InputContract(channels=3, spatial_size=[400, 400])
ask = {"looks": lambda: numbers_of(Images(), given), "pictures": lambda: picture_numbers(Images())}
ask = ask[sys.argv[1]]

def held():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) * 1024

memory.reuse()
count = 10
ask()
before, count = held(), 120
assert len(ask()) == count
print((held() - before) / count)
"""


def test_batches_stand_one_behind_the_other_whatever_was_foreseen():
    for foreseen in (1, 5, 100):
        rows = Rows(foreseen)
        for batch in torch.arange(10.0).view(5, 2).split(2):
            rows.add(batch)
        assert torch.equal(rows.all(), torch.arange(10.0).view(5, 2))


def test_one_batch_may_be_larger_than_what_was_foreseen_and_types_stay():
    rows = Rows(1)
    rows.add(torch.arange(3))
    assert rows.all().tolist() == [0, 1, 2] and rows.all().dtype == torch.int64
    assert Rows().all().shape == (0,)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc")
@pytest.mark.parametrize("what", ["looks", "pictures"])
def test_a_pass_over_large_images_holds_a_few_numbers_of_each(what):
    """Of 1.9 MB; a list of what is found batch by batch held 0.2 to 1.8 MB an image."""
    done = subprocess.run([sys.executable, "-c", GROWS, what], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 120_000
