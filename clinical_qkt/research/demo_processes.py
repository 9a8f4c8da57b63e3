"""NVIDIA FLARE for the demo as hospitals run it: provisioned, with mutual TLS, processes on loopback."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from clinical_qkt.core.errors import OutputError
from clinical_qkt.exchange.provision import Consortium, provision

RELAY, SWEEPER, UNIVERSITY = "localhost", "sweeps@university.example.org", "university"
_MODULE = "nvflare.private.fed.app.{0}.{0}_train"
_UP = {"server": "Server started", "client": "Successfully registered client"}
PATIENCE = 90
"""Seconds in which a process has to be up."""
SECONDS, WHOLE = 15, 120
"""How long a sweep waits for a site, and after what time it begins nothing new."""


class Loopback:
    """The relay and each site's client, for as long as it is entered.

    Args:
        folder: for keys, certificates, policies and logs; provisioned once.
        spools: of each site, by its pseudonym.
    """

    def __init__(self, folder: Path, spools: Mapping[str, Path]) -> None:
        self.folder, self.spools, self.kits = folder, spools, folder / "kits"
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        if not self.kits.is_dir():
            self._provision()
        try:
            self._start(RELAY)
            self._start(*self.spools)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._stop()

    def sweep(self) -> str:
        """One sweep between all sites, as `clinical-qkt exchange relay` starts it; gives what that says.

        Raises:
            OutputError: no site was reached.
        """
        kit, words = str(self.kits / SWEEPER), ["--seconds", str(SECONDS), "--whole", str(WHOLE)]
        done = self._python("-m", "clinical_qkt", "exchange", "relay", kit, *words)
        told = [line for line in done.stdout.splitlines() if line.startswith(("reached", "not "))]
        if done.returncode:
            raise OutputError("no site was reached", where=str(self.folder), fix="look into the logs there")
        return "; ".join(told)

    def _provision(self) -> None:
        """Keys and certificates by FLARE's own command, policies by ours."""
        written, made = self.folder / "written", self.folder / "made"
        for folder in (written, made):
            shutil.rmtree(folder, ignore_errors=True)  # of a demo that was cut off just here
        provision(Consortium.model_validate(self._consortium()), written)
        words = ("-p", str(written / "project.yml"), "-w", str(made), "--force")
        done = self._python("-m", "nvflare.cli", "provision", *words)
        found = made / "consortium" / "prod_00"
        if not found.is_dir():
            (self.folder / "provision.log").write_text(done.stdout + done.stderr)
            raise OutputError("was not provisioned", where=str(made), fix="look into provision.log beside it")
        for name in (RELAY, *self.spools):
            policies = written / "policies" / name / "local"
            shutil.copytree(policies, found / name / "local", dirs_exist_ok=True)
        shutil.move(found, self.kits)

    def _consortium(self) -> dict[str, Any]:
        with socket.socket() as free:
            free.bind((RELAY, 0))
            port = free.getsockname()[1]
        store = str(self.folder / "store")
        return {
            "name": "consortium",
            "relay": {"host": RELAY, "port": port, "organisation": UNIVERSITY, "store": store},
            "sweeper": {"name": SWEEPER, "organisation": UNIVERSITY},
            "sites": {
                site: {"organisation": _organisation(site), "spool": str(spool.absolute())}
                for site, spool in self.spools.items()
            },
        }

    def _start(self, *names: str) -> None:
        for name in names:
            kind, kit = "server" if name == RELAY else "client", self.kits / name
            own = UNIVERSITY if kind == "server" else _organisation(name)
            sets = ["secure_train=true", f"org={own}", "config_folder=config"]
            sets += [f"uid={name}"] if kind == "client" else []
            words = [
                "-m",
                _MODULE.format(kind),
                "-m",
                str(kit.absolute()),
                "-s",
                f"fed_{kind}.json",
                "--set",
                *sets,
            ]
            with (self.folder / f"{name}.log").open("wb") as log:
                self.running[name] = subprocess.Popen(
                    [sys.executable, "-u", *words], cwd=kit, stdout=log, stderr=log
                )
        for name in names:
            self._until_up(name)

    def _until_up(self, name: str) -> None:
        said, ends = self.folder / f"{name}.log", time.monotonic() + PATIENCE
        up = _UP["server" if name == RELAY else "client"]
        while up not in said.read_text(errors="replace"):
            if time.monotonic() > ends or self.running[name].poll() is not None:
                raise OutputError("did not start", where=f"FLARE's process of {name}", fix=f"see {said}")
            time.sleep(0.1)

    def _stop(self) -> None:
        for process in self.running.values():
            process.terminate()
        for process in self.running.values():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
        self.running.clear()

    def _python(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)


def _organisation(site: str) -> str:
    """FLARE's names of organisations have no other characters."""
    return "clinic_" + "".join(c if c.isalnum() else "_" for c in site).lower()
