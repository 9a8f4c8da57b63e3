"""Where a run's figures come from: software, machine and choices, with nothing that identifies anybody."""

from __future__ import annotations

import platform
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from clinical_qkt.core.version import __version__

PATH_KEYS = frozenset(
    {
        *(
            "data",
            "teachers",
            "responses",
            "published",
            "assessments",
            "reference_dir",
            "answers",
            "output_dir",
            "package_dir",
            "query_dir",
            "transfer_dir",
            "ledger",
            "pretrained",
        ),
        *("signing_key", "mlflow", "bundle_root", "dataset_dir", "model", "result", "images", "predictions"),
        *(
            "bundle",
            "request",
            "asked",
            "response_dir",
            "answer_dir",
            "assessment_dir",
            "unfinished",
            "run_name",
            "tracking",
        ),
    }
)
"""Keys of configs whose value is where something lies."""
WORDS = frozenset(
    {
        *("site", "classes", "query", "licence", "acceptance", "prevalence", "test_data", "monitoring"),
        *(
            "policy",
            "assess",
            "untrusted_packages",
            "architecture",
            "trained_layers",
            "settings",
            "input",
            "command",
            "task",
            "precision",
        ),
        *("device", "files"),
    }
)
"""Keys under which a person's own words stay: what they mean is known, and none is a place."""
DIRECTIVES = frozenset({"_target_", "_requires_", "_disabled_", "_mode_"})
"""Of MONAI's configs. Any other key with an underscore in front is a person's, and may hold anything."""
HIDDEN, HIDDEN_EXPRESSION, HIDDEN_TEXT = "<path>", "<expression>", "<text>"
_BEFORE = r"(?:^|[\s'\"`=(,\[\]{}<>|;:+!)])"
_PLACE = re.compile(
    rf"{_BEFORE}(?:~[\w.-]*)?/[\w.~-]|{_BEFORE}[A-Za-z]:[\\/]|\\\w|{_BEFORE}\.\.?/|{_BEFORE}file:"
    r"|\b(?!https?:)[a-z][a-z0-9+.-]*://"
)
"""A path from a root, a home folder or the folder one is in, alone or within other words; an address that is
none of the web's."""
_FAR = re.compile(rf"{_BEFORE}(?:~[\w.-]*)?/[\w.~-]+[\\/]|{_BEFORE}[A-Za-z]:[\\/]|\\\\\w|{_BEFORE}~")
"""The same within an expression of the bundle, which adds the names of single files and folders to others."""


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
    folder = Path(__file__).parents[2]
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


def without_paths(config: Mapping[str, Any], own: Iterable[Any] = ()) -> dict[str, Any]:
    """A bundle's config, merged with the site's YAML, of which nothing says where anything lies.

    Told are numbers and booleans, what stands in the bundle's own files, and a person's words under keys
    whose meaning is known. Of anything else, such as an expression that a person wrote or a key of theirs,
    it is told that it was there. Of ``trusted_keys`` the pseudonyms stay.

    Args:
        own: what the bundle's own files say.
    """
    ours = frozenset(_texts(list(own)))
    return {_name(key): _top(str(key), value, ours) for key, value in config.items()}


def _top(key: str, value: Any, ours: frozenset[str]) -> Any:
    if key == "trusted_keys" and isinstance(value, Mapping):
        return {_name(pseudonym): HIDDEN for pseudonym in value}
    told = _plain(value, ours, key=key, words=key in WORDS)
    if key not in PATH_KEYS or not value or (isinstance(told, str) and told[0] in "$@%"):
        return told
    return [HIDDEN] * len(value) if isinstance(value, list | tuple) else HIDDEN


def _plain(value: Any, ours: frozenset[str], *, key: str, words: bool) -> Any:
    """One entry as JSON data.

    Args:
        ours: texts of the bundle's own files.
        key: under which it stands.
        words: a person's own words stay.
    """
    if key.startswith("_") and key not in DIRECTIVES | {"_meta_"}:
        return HIDDEN_TEXT
    if isinstance(value, Mapping):
        return {_name(k): _plain(v, ours, key=str(k), words=words) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v, ours, key="", words=words) for v in value]
    if isinstance(value, str):
        return _text(value, ours, words=words)
    return value if isinstance(value, int | float) or value is None else type(value).__name__


def _text(value: str, ours: frozenset[str], *, words: bool) -> str:
    if value.lstrip()[:1] in ("$", "@", "%"):
        return HIDDEN if _FAR.search(value) else value if value in ours else HIDDEN_EXPRESSION
    if _PLACE.search(value):
        return HIDDEN
    return value if words or value in ours or not value else HIDDEN_TEXT


def _name(key: Any) -> str:
    return HIDDEN if _PLACE.search(str(key)) else str(key)


def _texts(value: Any) -> Iterator[str]:
    """Every text in nested sections and lists."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list | tuple):
        for part in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(part)


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
