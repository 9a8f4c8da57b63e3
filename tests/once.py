"""What all processes of a test run share: made by the first that wants it, while the others wait."""

from __future__ import annotations

import atexit
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

FOLDER = "CLINICAL_QKT_TEST_RUN"
"""The variable that names the folder of a run to the processes that its workers start."""


def folder() -> Path:
    """The folder of this run."""
    if FOLDER not in os.environ:
        os.environ[FOLDER] = tempfile.mkdtemp(prefix="clinical-qkt-run-")
        atexit.register(shutil.rmtree, os.environ[FOLDER], ignore_errors=True)
    return Path(os.environ[FOLDER])


def once(name: str, make: Callable[[Path], object]) -> Path:
    """A file or folder of the run that ``make`` writes once; treat it as read-only.

    Args:
        name: within the folder of the run.
        make: is given the path. What it leaves behind when it fails is made again by the next who asks.
    """
    path, done = folder() / name, folder() / f"{name}.done"
    with (folder() / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            make(path)
            done.touch()
    return path
