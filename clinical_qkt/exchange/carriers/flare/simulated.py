"""One sweep over spools of this machine, by FLARE's simulator: for a demo and for tests."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from nvflare.job_config.defs import FilterType

from clinical_qkt.core.errors import InputError, OutputError
from clinical_qkt.core.files import write_json
from clinical_qkt.exchange.carriers.flare.gate import ParcelGate
from clinical_qkt.exchange.carriers.flare.job import sweep_job
from clinical_qkt.exchange.carriers.flare.messages import TASK
from clinical_qkt.exchange.carriers.flare.outcome import Swept, swept
from clinical_qkt.exchange.carriers.flare.policies import ALLOWED
from clinical_qkt.exchange.carriers.flare.settings import SiteSettings, settings_file

_HERE = "simulator"
"""The organisation whose sweeps the simulated sites allow."""


def relay_once(spools: Mapping[str, Path], workspace: Path, *, seconds: int = 60) -> Swept:
    """Run one sweep over local spools.

    Args:
        spools: of each site, by its pseudonym.
        workspace: a folder for the simulator; a run in it before is overwritten.

    Raises:
        InputError: the workspace's path holds a space, which FLARE's simulator cannot do.
        OutputError: no site was reached; the simulator's logs are in the workspace.
    """
    if re.search(r"\s", str(workspace.absolute())):
        raise InputError(
            "FLARE's simulator wants a path without spaces", where=str(workspace), fix="name another"
        )
    local = workspace.absolute() / "local"
    write_json(local / "resources.json", {"format_version": 2, "class_allow_list": ALLOWED})
    for site, spool in spools.items():
        settings = SiteSettings(spool=spool.absolute(), relay_organisations=[_HERE])
        write_json(settings_file(local, site), json.loads(settings.model_dump_json()), private=True)
    job = sweep_job([*spools], seconds=seconds, meta={"submitter_org": _HERE, "submitter_role": "lead"})
    for site in spools:
        job.to(ParcelGate(), site, tasks=[TASK], filter_type=FilterType.TASK_DATA)
        job.to(ParcelGate(), site, tasks=[TASK], filter_type=FilterType.TASK_RESULT)
    job.simulator_run(str(workspace.absolute()), threads=len(spools))
    log = workspace / "server" / "log.txt"  # its exit code tells nothing of sites that did not start
    outcome = swept(log.read_text(errors="replace") if log.is_file() else "", spools)
    if not outcome.reached:
        raise OutputError("no site was reached", where=str(workspace), fix="look into the logs there")
    return outcome
