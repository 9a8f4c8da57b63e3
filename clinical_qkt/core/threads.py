"""Threads of the libraries that compute, which read this once, when they are imported."""

from __future__ import annotations

import os


def one_thread() -> None:
    """Let each library compute with one thread, unless the environment says otherwise.

    One serves networks of this size best, and figures do not depend on the number of cores; whoever has
    larger ones sets ``OMP_NUM_THREADS``. To be called before anything imports NumPy or PyTorch.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")
