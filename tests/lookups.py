"""Which names a program and all that it starts look up, and where it connects to; none of it happens."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

NEAR = ("localhost", "127.", "::1")
_WATCH = f"""
import os, sys
def watch(event, arguments):
    if event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.connect"):
        place = arguments[1] if event == "socket.connect" else arguments[0]
        name = place[0] if isinstance(place, tuple) else place
        name = name.decode() if isinstance(name, bytes) else str(name)
        if name != "None" and not name.startswith(({", ".join(map(repr, (*NEAR, "/")))})):
            with open(os.environ["WATCHED"], "a") as file:
                file.write(f"{{event}} {{name}}\\n")
            raise OSError(f"{{name}} is far away")
sys.addaudithook(watch)
"""
"""Python tells of every use of a socket, whichever library makes it: see its table of audit events."""
_TESTING = ("PYTEST_CURRENT_TEST", "CI", "MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK")
"""Variables for which MLflow would keep quiet by itself."""


def looked_up(folder: Path, *command: str, **variables: str) -> set[str]:
    """Run ``python COMMAND`` in a folder and return the foreign names that it wanted."""
    (folder / "watch").mkdir()
    (folder / "watch" / "sitecustomize.py").write_text(_WATCH)
    environment = {k: v for k, v in os.environ.items() if k not in _TESTING}
    environment |= {"PYTHONPATH": f"{folder / 'watch'}:{Path(__file__).parent.parent}", **variables}
    environment |= {"WATCHED": str(folder / "watch" / "names"), "HOME": str(folder)}
    done = subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr[-2000:]
    names = folder / "watch" / "names"
    return set(names.read_text().splitlines()) if names.exists() else set()
