"""What begins and ends a transfer, whatever it is given: seconds of the processor by part, of a tiny one.

    python -m clinical_qkt.research.benchmark.fixed_cost SITE.yaml

runs the transfer of a site's YAML in this process with a clock around its parts, and prints them as JSON on
the last line. ``stage_speed`` does that for a demo of its own, after an earlier run, which has compiled all
modules.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from clinical_qkt.core.errors import OutputError
from clinical_qkt.core.state_folder import STATE

DEMO = ["demo", "--sites", "3", "--max-epochs", "1", "--max-per-class", "20"]
IMPORTS, START, METHOD = "importing", "start of the stage: config, keys, own model", "the method"
TRACKING, REPORT, IMAGES = "MLflow", "report with figures", "images listed and looked at"
TOGETHER = "together, without the method and the images"
GROWING = (METHOD, IMAGES)
"""Parts that take longer with more images."""
TRACKER = ["__init__", "log", "params", "tag", "dataset", "software", "artifact", "document", "deliver"]
CLIENT = ["create_run", "set_terminated", "search_runs", "update_run", "log_batch"]
PARTS: dict[str, list[tuple[str, str]]] = {
    START: [("clinical_qkt.bundle", "launch")],
    IMAGES: [("clinical_qkt.data.datalist", "load_datalist")],
    METHOD: [("clinical_qkt.qkt.transfer", "Transfer.run")],
    TRACKING: [
        *(("clinical_qkt.review.tracking.tracker", f"Tracker.{name}") for name in TRACKER),
        *(("mlflow", f"MlflowClient.{name}") for name in CLIENT),
        *(("clinical_qkt.qkt.mlflow_log", name) for name in ("origin", "registered", "outcome")),
    ],
    REPORT: [("clinical_qkt.review.report.page", "write")],
}
"""Functions around which there is a clock; what a part calls of another counts for that."""


class Clock:
    """Seconds of the processor by part, each without those of the parts within it."""

    def __init__(self, now: Callable[[], float] = time.process_time) -> None:
        self.now, self.last, self.open = now, now(), [""]
        self.seconds: dict[str, float] = {}

    def turn(self) -> None:
        """What has passed since the last turn counts for the part that is open."""
        now = self.now()
        self.seconds[self.open[-1]] = self.seconds.get(self.open[-1], 0.0) + now - self.last
        self.last = now

    def around(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, whose time counts for a part."""

        @functools.wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            self.turn()
            self.open.append(part)
            try:
                return function(*args, **kwargs)
            finally:
                self.turn()
                self.open.pop()

        return timed


def put_around(clock: Clock) -> None:
    """A clock around each of ``PARTS``, wherever a module has it by name."""
    for part, functions in PARTS.items():
        for module, name in functions:
            holder, _, attribute = name.rpartition(".")
            place: Any = importlib.import_module(module)
            place = getattr(place, holder) if holder else place
            found = getattr(place, attribute)
            timed = clock.around(part, found)
            setattr(place, attribute, timed)
            for other in [] if holder else list(sys.modules.values()):
                for known, value in list(vars(other).items()):
                    if value is found:
                        setattr(other, known, timed)


def fixed_cost(folder: Path) -> dict[str, float]:
    """A demo in a folder of its own, and the parts of its transfer, done once more.

    Raises:
        OutputError: one of them failed.
    """
    out = folder / "demo"
    _run([sys.executable, "-m", "clinical_qkt", *DEMO, "--out", str(out)], out)
    sites = sorted((out / "sites").glob("*.yaml"))
    site = next(s for s in sites if "query:" in s.read_text(encoding="utf-8"))
    told = _run([sys.executable, "-m", __name__, str(site)], out)
    found: dict[str, float] = json.loads(told.splitlines()[-1])
    fixed = sum(seconds for part, seconds in found.items() if part not in GROWING)
    return {**{part: found[part] for part in (IMPORTS, *PARTS)}, TOGETHER: fixed}


def _run(words: list[str], out: Path) -> str:
    variables = {**os.environ, STATE: str(out / "state"), "OMP_NUM_THREADS": "1"}
    variables.pop("PYTHONDONTWRITEBYTECODE", None)  # else every process compiles anew
    done = subprocess.run(words, capture_output=True, text=True, env=variables)
    if done.returncode:
        raise OutputError(f"`{' '.join(words[2:4])}` failed", where=str(out), fix=done.stderr[-500:])
    return done.stdout


def main(site: str) -> None:
    """Run the transfer and print its parts."""
    from clinical_qkt.bundle import launch  # noqa: F401 - what a stage imports before anything else
    from clinical_qkt.site.launch import plan

    imported = time.process_time()
    clock = Clock()
    put_around(clock)
    planned = plan("transfer", Path(site), ["--overwrite", "true"], None)
    importlib.import_module("clinical_qkt.bundle").launch(planned)
    clock.turn()
    rest = clock.seconds.pop("", 0.0)
    clock.seconds[START] = clock.seconds.get(START, 0.0) + rest
    print(json.dumps({IMPORTS: imported, **clock.seconds}))


if __name__ == "__main__":
    main(sys.argv[1])
