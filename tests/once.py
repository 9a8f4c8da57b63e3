"""What all processes of a test run share: made by the first that wants it, while the others wait."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

FOLDER = "CLINICAL_QKT_TEST_RUN"
"""The variable that names the folder of a run to the processes that its workers start."""


def folder() -> Path:
    """The folder of this run."""
    return Path(os.environ.setdefault(FOLDER, tempfile.mkdtemp(prefix="clinical-qkt-run-")))


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
