"""Start one sweep on a running relay, wait for its end, and tell whom it reached."""

from __future__ import annotations

import contextlib
import json
import tempfile
import time
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from nvflare.fuel.flare_api.flare_api import Session, new_secure_session

from clinical_qkt.core.errors import InputError, OutputError
from clinical_qkt.exchange.carriers.flare.job import NAME, sweep_job
from clinical_qkt.exchange.carriers.flare.outcome import Swept, swept

_STARTS, _POLL = 120, 1.0
"""Seconds that FLARE may take to start and end a job, and between two looks at it."""
_DONE, _SUSPECTS = "FINISHED", 4


def relay(
    kit: Path,
    *,
    sites: Collection[str] = (),
    leave_out: Collection[str] = (),
    seconds: int = 60,
    whole: int = 900,
) -> Swept:
    """Run one sweep; and some more if one site has ended it for all.

    Args:
        kit: the sweeper's startup kit.
        sites: which ones; none: all that are connected.
        leave_out: sites that are not asked.
        seconds: how long a round waits for a site.
        whole: seconds after which nothing new is begun.

    Raises:
        InputError: the folder is no startup kit of a sweeper.
        OutputError: the relay cannot be reached, refuses the job, or does not end it.
    """
    with _session(kit) as session:
        there = {client.name for client in session.get_connected_client_list()}
        asked = sorted(({*sites} or there) & there - {*leave_out})
        absent = tuple(sorted({*sites} - there - {*leave_out}))
        return replace(_served(session, asked, seconds, whole), absent=absent)


def _served(session: Session, sites: list[str], seconds: int, whole: int) -> Swept:
    """One sweep; if a site ended it for all, those that had not answered are tried singly."""
    first = _run(session, sites, seconds, whole)
    if not first.cut_off:
        return first
    few = first.missed if len(first.missed) <= _SUSPECTS else ()
    groups = [sorted({*first.reached, site}) for site in few] or [[*first.reached]]
    reached = {site for group in groups for site in _run(session, group, seconds, whole).reached}
    missed = tuple(site for site in sites if site not in reached)
    return Swept(tuple(sorted(reached)), missed, cut_off=True)


def _run(session: Session, sites: list[str], seconds: int, whole: int) -> Swept:
    """Submit a sweep, wait for its end, and read the relay's log of it."""
    if not sites:
        return Swept()
    with tempfile.TemporaryDirectory() as folder:
        sweep_job(sites, seconds=seconds, whole=whole).export_job(folder)
        job = session.submit_job(str(Path(folder) / NAME))
    _wait(session, job, whole + 2 * seconds + _STARTS)
    outcome = swept(str(session.get_job_logs(job)["logs"].get("server", "")), sites)
    if not outcome.missed:  # else its logs are left for people
        with contextlib.suppress(Exception):  # whoever runs the relay may not allow it
            session.delete_job(job)
    return outcome


def _wait(session: Session, job: str, most: float) -> None:
    ends = time.monotonic() + most
    while not str(session.get_job_meta(job).get("status")).startswith(_DONE):
        if time.monotonic() > ends:
            session.abort_job(job)
            raise OutputError("the sweep did not end", where="relay", fix="look into the relay's log")
        time.sleep(_POLL)


@contextlib.contextmanager
def _session(kit: Path) -> Iterator[Session]:
    """FLARE's session of the person whose kit it is; its errors become ours."""
    try:
        admin: dict[str, Any] = json.loads((kit / "startup" / "fed_admin.json").read_text())["admin"]
    except (OSError, ValueError, KeyError):
        raise InputError(
            "is no startup kit of somebody who may start sweeps", where=str(kit), fix="name the sweeper's kit"
        ) from None
    session = None
    try:
        session = new_secure_session(admin["username"], str(kit.absolute()))
        yield session
    except (InputError, OutputError):
        raise
    except Exception as e:  # FLARE has a dozen kinds, and no common one
        problem = f"the relay does not do it: {type(e).__name__}: {e}"
        raise OutputError(
            problem, where=str(kit), fix="see whether the relay runs and its port is open"
        ) from e
    finally:
        if session is not None:
            session.close()
