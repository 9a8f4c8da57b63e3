"""A real federation on loopback: provisioned, with mutual TLS, each part a process that is killed by id."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil
import yaml

from clinical_qkt.exchange.provision import Consortium, provision
from tests.conftest import ROOT
from tests.exchange.carriers.flare.parcels import A, B, C

RELAY, SWEEPER, STRANGER = "localhost", "sweeps@university.example.org", "lead@clinic-b.example.org"
SITES = {A: "clinic_a", B: "clinic_b", C: "clinic_c"}
_TRAIN = "nvflare.private.fed.app.{0}.{0}_train"
_SWEEP = """
import json, sys
from dataclasses import asdict
from pathlib import Path
from clinical_qkt.exchange.carriers.flare.submit import relay
print("SWEPT", json.dumps(asdict(relay(Path(sys.argv[1]), **json.loads(sys.argv[2])))))
"""


class Federation:
    """Kits, spools and processes in one folder.

    Args:
        sites: their organisations.
    """

    def __init__(self, folder: Path, sites: Mapping[str, str] = SITES) -> None:
        self.folder, self.sites, self.running = folder, sites, dict[str, subprocess.Popen[bytes]]()
        self.kits, self.store = folder / "kits", folder / "store"
        self.spools = {site: folder / "spools" / site for site in sites}
        self.peaks: dict[str, int] = {}
        self._provision()

    def _provision(self) -> None:
        with socket.socket() as free:
            free.bind(("localhost", 0))
            port = free.getsockname()[1]
        consortium = Consortium.model_validate(
            {
                "name": "consortium",
                "relay": {
                    "host": RELAY,
                    "port": port,
                    "organisation": "university",
                    "store": str(self.store),
                },
                "sweeper": {"name": SWEEPER, "organisation": "university"},
                "sites": {
                    s: {"organisation": o, "spool": str(self.spools[s])} for s, o in self.sites.items()
                },
            }
        )
        written = self.folder / "written"
        provision(consortium, written)
        project = yaml.safe_load((written / "project.yml").read_text())
        project["participants"].append(
            {"name": STRANGER, "type": "admin", "org": [*self.sites.values()][1], "role": "lead"}
        )
        (written / "project.yml").write_text(yaml.safe_dump(project))
        made = self.folder / "made"
        self.python("-m", "nvflare.cli", "provision", "-p", written / "project.yml", "-w", made, "--force")
        shutil.move(made / "consortium" / "prod_00", self.kits)
        for name in (RELAY, *self.sites):
            shutil.copytree(
                written / "policies" / name / "local", self.kits / name / "local", dirs_exist_ok=True
            )

    def python(self, *args: object, timeout: float = 240) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *map(str, args)]
        return subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=timeout)

    # Processes

    def start(self, *names: str) -> None:
        """Start parts, and wait until the relay listens or the relay knows the site."""
        for name in names:
            kind, kit = "server" if name == RELAY else "client", self.kits / name
            sets = ["secure_train=true", f"org={self.sites.get(name, 'university')}", "config_folder=config"]
            sets += [f"uid={name}"] if kind == "client" else []
            command = ["-m", _TRAIN.format(kind), "-m", str(kit), "-s", f"fed_{kind}.json", "--set", *sets]
            out = (self.folder / f"{name}.out").open("wb")
            self.running[name] = subprocess.Popen(
                [sys.executable, *command], cwd=kit, env=environment(), stdout=out, stderr=out
            )
        for name in names:
            up = "Server started" if name == RELAY else "Successfully registered client"
            self.until(lambda name=name, up=up: up in self.said(name))

    def said(self, name: str) -> str:
        """What a part has printed since it was started last."""
        return (self.folder / f"{name}.out").read_text(errors="replace")

    def jobs(self, name: str) -> list[psutil.Process]:
        """The job processes of a part."""
        try:
            return psutil.Process(self.running[name].pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def kill(self, name: str, *, job: bool = False) -> None:
        """kill -9 of a part with its jobs, or of its jobs alone."""
        processes = self.jobs(name)
        if not job:
            process = self.running.pop(name)
            process.kill()
            process.wait()
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    def close(self) -> None:
        for name in [*self.running]:
            self.kill(name)

    # Sweeps

    def sweep(self, kit: str = SWEEPER, **options: Any) -> dict[str, Any] | str:
        """One sweep by whoever; what it told, or how it was refused."""
        options = {"seconds": 15, "whole": 120} | options
        with self._watching():
            done = self.python("-c", _SWEEP, self.kits / kit, json.dumps(options))
        found = [line[6:] for line in done.stdout.splitlines() if line.startswith("SWEPT ")]
        return json.loads(found[0]) if found else done.stdout + done.stderr

    def in_the_background(self, **options: Any) -> threading.Thread:
        thread = threading.Thread(target=self.sweep, kwargs=options)
        thread.start()
        return thread

    def until(self, so: Callable[[], bool], seconds: float = 90) -> None:
        ends = time.monotonic() + seconds
        while not so():
            assert time.monotonic() < ends, "it took too long"
            time.sleep(0.05)

    def _watching(self) -> _Watch:
        return _Watch(self)


class _Watch:
    """Peak memory of each part's job process, and of the part itself, while a sweep runs."""

    def __init__(self, federation: Federation) -> None:
        self._of, self._ends = federation, threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ends.wait(0.1):
            for name, process in [*self._of.running.items()]:
                for job in self._of.jobs(name):
                    self._note(f"{name} job", job.pid)
                self._note(name, process.pid)

    def _note(self, name: str, pid: int) -> None:
        try:
            size = psutil.Process(pid).memory_info().rss
        except psutil.Error:
            return
        self._of.peaks[name] = max(size, self._of.peaks.get(name, 0))


def environment() -> dict[str, str]:
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}


def holding(folder: Path, what: bytes) -> list[Path]:
    """Files in which something stands."""
    return [p for p in folder.rglob("*") if p.is_file() and what in p.read_bytes()]
