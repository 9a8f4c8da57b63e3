"""Sweeps of real processes with mutual TLS: what arrives, is refused, is kept, and what kill -9 costs."""

from __future__ import annotations

import json
import re
import shutil

import pytest

pytest.importorskip("nvflare", reason='NVIDIA FLARE is not installed: pip install "clinical-qkt[federation]"')

from clinical_qkt.exchange.carriers.flare.job import sweep_job
from clinical_qkt.exchange.kit_check import careless as carelessly
from tests.exchange.carriers.flare.federation import RELAY, SITES, STRANGER, SWEEPER, Federation, holding
from tests.exchange.carriers.flare.parcels import SECRET, A, B, C, bytes_of, come, put, waiting

pytestmark = pytest.mark.slow  # each sweep of real processes takes a quarter of a minute
ALL = {"reached": sorted(SITES), "missed": [], "absent": [], "cut_off": False}
LARGE = 60_000_000


@pytest.fixture(scope="module")
def federation(tmp_path_factory):
    made = Federation(tmp_path_factory.mktemp("federation"))
    try:
        made.start(RELAY)
        made.start(*SITES)
        yield made
    finally:
        made.close()


@pytest.fixture
def running(federation):
    """The federation with all its parts up and its spools empty."""
    missing = {RELAY, *SITES} - {*federation.running}
    federation.start(*sorted(missing & {RELAY}), *sorted(missing - {RELAY}))
    for spool in federation.spools.values():
        for folder in ("in", "out"):
            shutil.rmtree(spool / folder, ignore_errors=True)
    return federation


def lying(federation) -> set[str]:
    """Parcels that lie whole anywhere."""
    return {n for s in federation.spools.values() for n in {*waiting(s), *come(s)}}


def ends(federation, name: str, sender: str = A, receiver: str = B, size: int = LARGE) -> None:
    """The next sweep delivers what one that was cut off left."""
    assert lying(federation) == {name}
    assert federation.sweep() == ALL
    assert come(federation.spools[receiver]) == {name: bytes_of(sender, receiver, size)}
    assert not waiting(federation.spools[sender])
    assert not [p for s in federation.spools.values() for p in s.rglob("*.part")]


def sites_are_back(federation) -> None:
    federation.until(lambda: all(f"Re-activate the client: {s}" in federation.said(RELAY) for s in SITES))


def test_the_kits_are_careful_but_for_the_temporary_folders_of_a_test(federation):
    for name in (RELAY, SWEEPER, *SITES):
        told = carelessly(federation.kits / name)
        assert all("temporary" in problem for _, problem in told) and bool(told) == (name != SWEEPER)


def test_a_sweep_delivers_and_neither_the_relay_nor_a_log_keeps_anything(running):
    spools, sent = running.spools, {}
    for sender, receiver, size in ((A, B, 2_000), (A, C, 130_000), (B, A, 5_000), (C, B, 9_000_000)):
        sent[put(spools[sender], sender, receiver, size)] = bytes_of(sender, receiver, size)
    out = spools[A] / "out" / B
    strange = bytearray(bytes_of(A, B, 77))
    strange[bytes(strange).index(b"hospital_b") + 9] ^= 1  # a flipped bit in the envelope
    (out / f"{'e' * 64}.parcel").write_bytes(strange)
    (out / f"{'f' * 64}.parcel").write_bytes(bytes_of(A, C, 78))  # for somebody else
    assert running.sweep() == ALL
    assert {n: b for s in spools.values() for n, b in come(s).items()} == sent
    assert {n for s in spools.values() for n in waiting(s)} == {"e" * 64, "f" * 64}
    print({name: f"{size / 2**20:.0f} MiB" for name, size in running.peaks.items()})

    kept = [running.kits / RELAY, running.store]
    for what in (SECRET, b"clinical-qkt/parcel/1", *(n.encode() for n in sent), bytes_of(A, B, 2_000)[-40:]):
        assert holding(running.folder / "spools", what) or what in {n.encode() for n in sent}
        assert not [p for folder in kept for p in holding(folder, what)], what
    logs = [p for kit in running.kits.iterdir() for p in kit.rglob("*") if p.suffix in (".txt", ".log")]
    logs += [running.folder / f"{name}.out" for name in (RELAY, *SITES)]
    assert len(logs) > 15
    for log in logs:
        text = log.read_text(errors="replace")
        assert "spools" not in text and ".parcel" not in text, log
        assert not [n for n in (*sent, "e" * 64) if n in text], log
        assert not re.search(r"\b[0-9]+ (parcel|piece|file|byte)", text), log


def test_a_killed_job_process_of_a_site_costs_that_site_one_sweep_and_the_others_nothing(running):
    name, other = put(running.spools[A], A, B, LARGE), put(running.spools[A], A, C, LARGE + 1)
    sweeping = running.in_the_background()
    running.until(lambda: list(running.spools[B].glob("in/.*.part")))
    running.kill(B, job=True)
    sweeping.join()
    assert set(come(running.spools[C])) == {other}  # at the latest by another sweep without hospital_b
    shutil.rmtree(running.spools[C] / "in")
    ends(running, name)


def test_a_killed_sender_costs_one_sweep(running):
    name = put(running.spools[A], A, B, LARGE)
    sweeping = running.in_the_background()
    running.until(lambda: list(running.spools[B].glob("in/.*.part")))
    running.kill(A)
    sweeping.join()
    running.start(A)
    ends(running, name)


def test_a_sender_killed_just_when_its_parcel_lay_at_the_receivers_loses_and_doubles_nothing(running):
    name = put(running.spools[A], A, B, 5_000_000)
    sweeping = running.in_the_background()
    running.until(lambda: come(running.spools[B]))
    running.kill(A, job=True)
    sweeping.join()
    ends(running, name, size=5_000_000)


def test_a_killed_relay_costs_one_sweep_and_sites_come_back_by_themselves(running):
    name = put(running.spools[A], A, B, LARGE)
    sweeping = running.in_the_background()
    running.until(lambda: list(running.spools[B].glob("in/.*.part")))
    running.kill(RELAY)
    sweeping.join()
    running.start(RELAY)
    sites_are_back(running)
    ends(running, name)


def test_a_site_that_is_away_is_named_and_the_others_are_served(running):
    running.kill(C)
    here, there = put(running.spools[A], A, B), put(running.spools[A], A, C)
    assert running.sweep() == ALL | {"reached": [A, B], "missed": [C]}
    assert set(come(running.spools[B])) == {here} and waiting(running.spools[A]) == {there}


def test_a_lead_of_another_hospital_starts_no_sweep(running):
    name = put(running.spools[A], A, B)
    assert "not authorized" in running.sweep(STRANGER)
    careless(running, submit_job="any")
    assert running.sweep(STRANGER) == ALL | {"reached": [], "missed": sorted(SITES)}
    refused = f"user '{STRANGER}' is not authorized for 'submit_job'"  # at each site; the executor would, too
    assert all(f"{site}: {refused}" in running.said(RELAY) for site in SITES)
    assert waiting(running.spools[A]) == {name}


def test_a_job_with_own_code_runs_nowhere(running, tmp_path):
    name = put(running.spools[A], A, B)
    careless(running, byoc="none", submit_job="any")
    submit_with_code(running, tmp_path)
    assert "BYOC not permitted" in running.said(RELAY)
    careless(running, byoc="any", submit_job="any")
    submit_with_code(running, tmp_path)
    assert all(f"{site}: NVFLARE_ERROR: BYOC not permitted" in running.said(RELAY) for site in SITES)
    assert not (tmp_path / "ran").exists() and waiting(running.spools[A]) == {name}


def careless(federation, **rights) -> None:
    """Start the relay anew with more rights for leads; the sites keep theirs."""
    file = federation.kits / RELAY / "local" / "authorization.json"
    content = json.loads(file.read_text())
    content["permissions"]["lead"] |= rights
    file.write_text(json.dumps(content))
    federation.kill(RELAY)
    federation.start(RELAY)
    sites_are_back(federation)


_SUBMIT = """
import sys
from nvflare.fuel.flare_api.flare_api import new_secure_session
session = new_secure_session(sys.argv[1], sys.argv[2])
try:
    job = session.submit_job(sys.argv[3])
    print("JOB", session.wait_for_job(job, timeout=100)["status"])
finally:
    session.close()
"""


_EXECUTOR = "clinical_qkt.exchange.carriers.flare.executor.SiteExecutor"
_EVIL = """
from pathlib import Path
from clinical_qkt.exchange.carriers.flare.executor import SiteExecutor

class Evil(SiteExecutor):
    def execute(self, *_):
        Path("RAN").touch()
"""


def submit_with_code(federation, folder) -> str:
    """Submit a sweep whose executor is the job's own."""
    sweep_job([*SITES]).export_job(str(folder / "jobs"))
    job = folder / "jobs" / "sweep"
    for site in SITES:
        custom = job / f"app_{site}" / "custom"
        custom.mkdir(exist_ok=True)
        (custom / "evil.py").write_text(_EVIL.replace("RAN", str(folder / "ran")))
        config = job / f"app_{site}" / "config" / "config_fed_client.json"
        config.write_text(config.read_text().replace(_EXECUTOR, "evil.Evil"))
    done = federation.python("-c", _SUBMIT, SWEEPER, federation.kits / SWEEPER, job)
    return done.stdout + done.stderr
