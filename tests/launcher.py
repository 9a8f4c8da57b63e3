"""Commands in processes of their own, such as `python -m monai.bundle run`, without their seconds of import.

A server process imports MONAI and this package once, see ``tests.warm``, and forks for each command. What a
command runs is the module itself, with its own arguments, working directory, output and exit code.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.warm"])
PATIENCE = 300
"""Seconds that a command may take."""
ROOT = Path(__file__).parent.parent


def start(module: str, *words: str, output: Path | None = None, cwd: Path = ROOT) -> BaseProcess:
    """``python -m MODULE WORDS``, as the leader of a session of its own.

    Args:
        output: a folder for ``stdout`` and ``stderr``; they are thrown away without one.
        cwd: the working directory.
    """
    process = CONTEXT.Process(target=_run, args=(module, words, output, cwd))
    process.start()
    return process


def launch(
    module: str, *words: str, cwd: Path = ROOT, timeout: float = 300
) -> subprocess.CompletedProcess[str]:
    """The same, to its end."""
    with tempfile.TemporaryDirectory() as folder:
        process = start(module, *words, output=Path(folder), cwd=cwd)
        process.join(PATIENCE)
        if process.exitcode is None:
            process.kill()
            raise TimeoutError(f"{module} {words} took more than {PATIENCE} seconds")
        said = [(Path(folder) / name).read_text() for name in ("stdout", "stderr")]
        return subprocess.CompletedProcess([module, *words], process.exitcode, *said)


def launch_bundle(files: Sequence[Path], **overrides: object) -> subprocess.CompletedProcess[str]:
    """MONAI's stock launcher on these configs."""
    return launch("monai.bundle", *bundle_words(files, **overrides))


def bundle_words(files: Sequence[Path], **overrides: object) -> list[str]:
    """What follows ``python -m monai.bundle``."""
    words = ["run", "--config_file", str([str(f) for f in files])]
    return words + [word for key, value in overrides.items() for word in (f"--{key}", str(value))]


def _run(module: str, words: Sequence[str], output: Path | None, cwd: Path) -> None:
    os.setsid()
    os.chdir(cwd)
    for number, name in ((1, "stdout"), (2, "stderr")):
        target = os.open(output / name if output else os.devnull, os.O_WRONLY | os.O_CREAT)
        os.dup2(target, number)
    sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w", buffering=1)
    sys.argv = [module, *words]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
