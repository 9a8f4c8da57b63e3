"""A stage that cannot go on, stopped by hand or by what a person can mend: it ends without a traceback."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from clinical_qkt.core import logs
from clinical_qkt.core.errors import explained

CONTINUED = ("train", "transfer", "share")
"""Stages that find what they had done when they were stopped: checkpoints, soft targets, shadow models."""
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(SystemExit):
    """Somebody asked the process to end; whatever is open is closed on the way out."""

    def __init__(self, signum: int) -> None:
        super().__init__(128 + signum)


@contextmanager
def plainly(after_stop: str, folder: Path) -> Iterator[None]:
    """End the process with one sentence on standard error instead of a traceback, where that can be.

    Args:
        after_stop: what the same command does next time.
        folder: into which is written.

    Raises:
        SystemExit: with the exit code of the error, or 128 and the signal's number.
    """
    try:
        with _signals_raise():
            yield
    except Stopped as e:
        print(f"stopped; {after_stop}", file=sys.stderr)
        raise SystemExit(e.code) from None
    except Exception as e:
        logs.log_error(e)
        problem = explained(e, folder)
        if problem is None:
            raise
        print(f"error: {problem}", file=sys.stderr)
        raise SystemExit(problem.exit_code) from e


def guarded(run: Callable[[], Any], command: str, folder: Path, *, private: bool) -> Callable[[], Any]:
    """A workflow's ``run`` that ends plainly.

    Args:
        command: the stage.
        folder: for its results.
        private: a training that keeps nothing to go on from.
    """
    goes_on = command in CONTINUED and not private
    after = "goes on from what is done" if goes_on else "begins anew"

    def ends_plainly() -> Any:
        with plainly(f"the same command {after}", folder):
            return run()

    return ends_plainly


@contextmanager
def _signals_raise() -> Iterator[None]:
    """Ctrl-C and the signal of a scheduler raise ``Stopped``, so that MLflow runs are closed."""

    def stop(signum: int, _: Any) -> None:
        raise Stopped(signum)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, stop) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
