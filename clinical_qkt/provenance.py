"""Where a run's figures come from: software, machine and choices, with nothing that identifies anybody."""

from __future__ import annotations

import platform
import re
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from clinical_qkt import __version__

PATH_KEYS = frozenset(
    {
        *("data", "teachers", "answers", "output_dir", "package_dir", "query_dir", "transfer_dir", "ledger"),
        *("signing_key", "mlflow", "bundle_root", "dataset_dir", "model", "result", "images", "predictions"),
        *("bundle", "asked", "answer_dir", "unfinished", "run_name", "tracking"),
    }
)
"""Keys of configs whose value is where something lies."""
HIDDEN = "<path>"
_ABSOLUTE = re.compile(r"(?:^|[\s'\"=(,\[])(?:~?/[\w.~-]|[A-Za-z]:[\\/]|\\\\\w)")
"""An absolute path or one in a home folder, alone or inside an expression; no address on the web."""


def environment(device: torch.device) -> dict[str, Any]:
    """Software and hardware; no host, user or path."""
    return {
        "clinical-qkt": __version__,
        "git": git_version(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "threads": torch.get_num_threads(),
        "packages": _versions(),
    }


def git_version() -> str | None:
    """The commit of the checkout that this software runs from, with ``-dirty`` if it was changed since.

    None for an installed wheel, or without git.
    """
    folder = Path(__file__).parent
    if not (folder.parent / "pyproject.toml").is_file():
        return None
    try:
        told = subprocess.run(
            ["git", "-C", str(folder), "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return told.stdout.strip() or None


def without_paths(config: Mapping[str, Any]) -> dict[str, Any]:
    """A bundle's config, merged with the site's YAML, of which nothing says where anything lies.

    Expressions of the bundle stay as they are; of ``trusted_keys`` the pseudonyms stay.
    """
    return {key: _place(key, value) for key, value in config.items()}


def _place(key: str, value: Any) -> Any:
    """One top-level entry; the bundle's own expressions tell of no place."""
    if key == "trusted_keys" and isinstance(value, Mapping):
        return dict.fromkeys(value, HIDDEN)
    if key not in PATH_KEYS or not value or (isinstance(value, str) and value.startswith("$")):
        return _plain(value)
    return [HIDDEN] * len(value) if isinstance(value, list | tuple) else HIDDEN


def _plain(value: Any) -> Any:
    """What JSON can hold, without absolute paths; of anything else the name of its type."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, str):
        return HIDDEN if _ABSOLUTE.search(value) else value
    return value if isinstance(value, int | float) or value is None else type(value).__name__


def _versions() -> dict[str, str]:
    """Of the packages that this software depends on, as far as they are installed."""
    found = {}
    for line in metadata.requires("clinical-qkt") or []:
        if "extra ==" in line:
            continue
        name = re.split(r"[\s\[<>=!~;]", line, maxsplit=1)[0]
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return dict(sorted(found.items()))
