"""A command's end: one clear message and an exit code for what a person can mend, order after a signal."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from clinical_qkt.core import logs
from clinical_qkt.core.errors import explained


def exit_codes(command: Callable[[], Any]) -> None:
    """Run a command; what the user can fix becomes one clear message and its exit code.

    What other libraries say is kept from the screen meanwhile. A signal ends the command in order, so that
    MLflow runs are closed; a second one ends it at once.
    """
    before = {signum: signal.signal(signum, _stop) for signum in (signal.SIGTERM, signal.SIGINT)}
    try:
        with logs.kept_from_the_screen():
            _told(command)
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def _told(command: Callable[[], Any]) -> None:
    try:
        command()
    except Exception as e:
        logs.log_error(e)
        problem = explained(e)
        if problem is None:
            raise
        print(f"error: {problem}", file=sys.stderr)
        raise SystemExit(problem.exit_code) from None


def _stop(signum: int, _: Any) -> None:
    signal.signal(signum, signal.SIG_DFL)
    name = signal.Signals(signum).name
    os.write(2, f"\nstopped by {name}: the same command goes on where it was, or begins anew\n".encode())
    raise SystemExit(128 + signum)
