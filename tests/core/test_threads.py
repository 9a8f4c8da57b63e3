"""Threads are settled before the libraries that read them are imported."""

import os
import subprocess
import sys

import pytest

BEFORE = "import os, sys, {0}; print(os.environ['OMP_NUM_THREADS'], 'torch' in sys.modules)"


@pytest.mark.parametrize(
    ("first", "told"), [("clinical_qkt.cli", None), ("clinical_qkt.research.benchmark", "3")]
)
def test_a_command_computes_with_one_thread_unless_it_was_told_otherwise(first, told):
    plain = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}
    told_so = {} if told is None else {"OMP_NUM_THREADS": told}
    done = subprocess.run(
        [sys.executable, "-c", BEFORE.format(first)],
        env=plain | told_so,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [told or "1", "False"]
