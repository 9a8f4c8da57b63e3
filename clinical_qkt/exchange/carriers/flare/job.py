"""A sweep as a FLARE job: classes of the installed package by name, and no code, path or parcel in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nvflare.job_config.api import FedJob

from clinical_qkt.exchange.carriers.flare.executor import SiteExecutor
from clinical_qkt.exchange.carriers.flare.messages import TASK
from clinical_qkt.exchange.carriers.flare.relay import Relay

NAME = "sweep"
_FETCH = 0.1
"""Seconds after which a site asks the relay for its next round; FLARE's two would be most of a sweep."""


def sweep_job(
    sites: Sequence[str], *, seconds: int = 60, whole: int = 900, meta: dict[str, Any] | None = None
) -> FedJob:
    """A job for some sites. It goes on while one of them answers.

    Args:
        sites: pseudonyms, which are the sites' names in FLARE.
        seconds: how long a round waits for a site.
        whole: seconds after which nothing new is begun.
        meta: further properties of the job, for the simulator.
    """
    job = FedJob(name=NAME, min_clients=1, meta_props=meta)
    job.to_server(Relay(seconds=seconds, whole=whole))
    job.to_server({"server": {"task_request_interval": _FETCH}})
    for site in sites:
        job.to(SiteExecutor(), site, tasks=[TASK])
        job.to({"default_task_fetch_interval": _FETCH}, site)
    job.set_app_packages(["clinical_qkt"])  # else FLARE copies our modules into the job
    return job
