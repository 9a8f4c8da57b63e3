"""What stands in the folder ``local`` of each startup kit, in place of FLARE's defaults."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

HERE = "clinical_qkt.exchange.carriers.flare."
ALLOWED = [HERE]
"""The only classes that a job may name."""
GATE = HERE + "gate.ParcelGate"
RESOURCES, AUTHORISATION, PRIVACY = "resources.json", "authorization.json", "privacy.json"
_NOTHING = {
    "submit_job": "none",
    "clone_job": "none",
    "manage_job": "none",
    "download_job": "none",
    "view": "any",
    "operate": "none",
    "shell_commands": "none",
    "byoc": "none",
    "server-predeployed-flwr": "none",
}
"""Rights that nobody has unless said otherwise. FLARE's default gives a project admin all of them."""


def authorisation(organisations: Iterable[str]) -> dict[str, Any]:
    """Who may do what: leads of these organisations start sweeps; no job brings code; nobody reads files.

    Args:
        organisations: those whose leads may.
    """
    lead = {
        "submit_job": [f"o:{name}" for name in organisations],
        "manage_job": "n:submitter",
        "get_job_log": "n:submitter",
    }
    return {
        "format_version": "1.0",
        "permissions": {
            "project_admin": _NOTHING | {"manage_job": "any", "operate": "any"},
            "org_admin": _NOTHING | {"operate": "o:site"},
            "lead": _NOTHING | lead,
            "member": {"view": "any"},
        },
    }


def privacy() -> dict[str, Any]:
    """FLARE's filters of this site, for every job: the gate."""
    gate = [{"path": GATE}]
    scope = {"name": "parcels", "task_data_filters": gate, "task_result_filters": gate}
    return {"scopes": [scope], "default_scope": "parcels"}


def site_resources() -> dict[str, Any]:
    """A site's FLARE: sweeps and nothing else, no log leaves."""
    return {
        "format_version": 2,
        "class_list_enforcement_mode": "enforce",
        "class_allow_list": ALLOWED,
        "allow_log_streaming": False,
        "client": {"retry_timeout": 30, "compression": "None"},
        "components": [
            _component(
                "resource_manager", "resource_managers.gpu_resource_manager.GPUResourceManager", **_CPU
            ),
            _component("resource_consumer", "resource_consumers.gpu_resource_consumer.GPUResourceConsumer"),
            _component("process_launcher", "job_launcher.client_process_launcher.ClientProcessJobLauncher"),
        ],
    }


def relay_resources(store: str, sites: int) -> dict[str, Any]:
    """The relay's FLARE: one sweep at a time, its list of jobs in a folder that lasts, no log of a site.

    Args:
        store: the folder, an absolute path.
        sites: how many there are; FLARE's limit is 100.
    """
    files = "storages.filesystem_storage.FilesystemStorage"
    snapshots = _component("", files, root_dir=f"{store}/snapshots", uri_root="/")
    return {
        "format_version": 2,
        "class_list_enforcement_mode": "enforce",
        "class_allow_list": ALLOWED,
        "servers": [
            {
                "admin_storage": "transfer",
                "max_num_clients": max(100, 2 * sites),
                "heart_beat_timeout": 60,  # so long FLARE waits for a site that died; sites beat every 10 s
                "download_job_url": "http://download.server.com/",  # FLARE wants one, and uses none
                "admin_timeout": 10.0,
            }
        ],
        "snapshot_persistor": {
            "path": _PLACE + "state_persistors.storage_state_persistor.StorageStatePersistor",
            "args": {"uri_root": "/", "storage": {k: snapshots[k] for k in ("path", "args")}},
        },
        "components": [
            _component("job_scheduler", "job_schedulers.job_scheduler.DefaultJobScheduler", max_jobs=1),
            {
                "id": "job_manager",
                "path": "nvflare.apis.impl.job_def_manager.SimpleJobDefManager",
                "args": {"uri_root": f"{store}/jobs", "job_store_id": "job_store"},
            },
            _component("job_store", files),
            _component("process_launcher", "job_launcher.server_process_launcher.ServerProcessJobLauncher"),
        ],
    }


_PLACE = "nvflare.app_common."
_CPU = {"num_of_gpus": 0, "mem_per_gpu_in_GiB": 0, "expiration_period": 300}


def _component(name: str, path: str, **args: object) -> dict[str, Any]:
    return {"id": name, "path": _PLACE + path, "args": args}
