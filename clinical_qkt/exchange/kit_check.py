"""Whether a startup kit of FLARE is set up with care: its policies, its certificates, its version.

FLARE's defaults let a lead's job bring code and a log with paths to the server. Nothing here needs FLARE.
"""

from __future__ import annotations

import datetime
import json
import stat
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from cryptography import x509

from clinical_qkt.core.errors import InputError
from clinical_qkt.exchange.carriers.flare import policies
from clinical_qkt.exchange.carriers.flare.settings import read_settings

FLARE = "2.9"
"""The version whose ways were looked at; jobs of one minor version do not run on another."""
DAYS = 60
"""So long before its end a certificate is a problem."""
Problem = tuple[str, str]
"""Which file, and what is wrong."""
_STARTUP = {"fed_client.json": "client", "fed_server.json": "server", "fed_admin.json": "admin"}
_TEMPORARY = ("/tmp", "/var/tmp", "/dev/shm", "/run", tempfile.gettempdir())
_LEFT_OUT = ("JobLogReceiver", "SiteLogStreamer", "JobLogStreamer")


def careless(
    kit: Path, *, today: datetime.datetime | None = None, installed: str | None = None
) -> list[Problem]:
    """What is wrong with a kit.

    Args:
        kit: a site's, the relay's or the sweeper's: the folder with ``startup`` and ``local`` in it.
        today: the time now.
        installed: FLARE's version; None: the one that is installed here.

    Raises:
        InputError: it is no startup kit.
    """
    kind = kind_of(kit)
    now = today or datetime.datetime.now(datetime.UTC)
    problems = [*_version(installed), *_certificates(kit / "startup", now), *_startup(kit / "startup", kind)]
    if kind != "admin":
        problems += [*_resources(kit / "local"), *_rights(kit / "local")]
    if kind == "client":
        problems += [*_gate(kit / "local"), *_settings(kit)]
    return problems


def kind_of(kit: Path) -> str:
    """Whose kit it is: client, server or admin.

    Raises:
        InputError: nobody's.
    """
    found = [kind for name, kind in _STARTUP.items() if (kit / "startup" / name).is_file()]
    if len(found) != 1:
        raise InputError(
            "is no startup kit", where=str(kit), fix="name the folder that holds 'startup' and 'local'"
        )
    return found[0]


def _version(installed: str | None) -> Iterator[Problem]:
    try:
        found = installed or version("nvflare")
    except PackageNotFoundError:
        yield "nvflare", 'is not installed here: pip install "clinical-qkt[federation]"'
        return
    if not f"{found}.".startswith(f"{FLARE}."):
        yield "nvflare", f"is version {found}; this software knows {FLARE}"


def _certificates(startup: Path, now: datetime.datetime) -> Iterator[Problem]:
    """Certificates that end soon, and keys that others may read."""
    for file in sorted([*startup.glob("*.crt"), startup / "rootCA.pem"]):
        try:
            ends = x509.load_pem_x509_certificate(file.read_bytes()).not_valid_after_utc
        except (OSError, ValueError):
            yield file.name, "is no certificate that can be read"
            continue
        if (left := (ends - now).days) < DAYS:
            yield file.name, f"ends on {ends:%Y-%m-%d}" if left >= 0 else f"has ended on {ends:%Y-%m-%d}"
    for file in sorted(startup.glob("*.key")):
        if stat.S_IMODE(file.stat().st_mode) & 0o077:
            yield file.name, "can be read by others: chmod 600"


def _startup(startup: Path, kind: str) -> Iterator[Problem]:
    name = next(n for n, k in _STARTUP.items() if k == kind)
    content = _read(startup / name)
    if content is None:
        yield name, "is no JSON"
        return
    sections = {"server": content.get("servers", [{}]), "client": [content.get("client", {})]}
    for section in sections.get(kind, [content.get("admin", {})]):
        if section.get("connection_security") != "mtls":
            yield name, "'connection_security' is not mtls: both ends should show certificates"
    if content.get("require_signed_jobs", True) is not True:
        yield name, "'require_signed_jobs' is off: the relay could say whose job it is"


def _resources(local: Path) -> Iterator[Problem]:
    name, content = _policy(local, policies.RESOURCES)
    if content is None:
        yield name, "is missing or no JSON"
        return
    allowed = content.get("class_allow_list")
    if not isinstance(allowed, list) or not allowed:
        yield name, "has no 'class_allow_list': FLARE's own lets many classes in"
    elif wider := [entry for entry in allowed if not str(entry).startswith(policies.HERE)]:
        yield name, f"'class_allow_list' lets in more than sweeps: {', '.join(map(str, wider[:3]))}"
    if content.get("class_list_enforcement_mode", "enforce") != "enforce":
        yield name, "'class_list_enforcement_mode' only warns"
    if "servers" not in content and content.get("allow_log_streaming", True) is not False:
        yield name, "'allow_log_streaming' is not false: this site's logs go to the relay"
    yield from ((name, problem) for part in _parts(content) for problem in _of_part(part))


def _of_part(part: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with a component of the resources, or of what a component is given."""
    if str(part.get("path", "")).rpartition(".")[2] in _LEFT_OUT:
        yield f"'{part['path'].rpartition('.')[2]}' carries logs away: take it out"
    args = part.get("args")
    for key in ("uri_root", "root_dir"):
        place = args.get(key) if isinstance(args, Mapping) else None
        if isinstance(place, str) and any(Path(place).is_relative_to(t) for t in _TEMPORARY):
            yield f"'{key}' is in a temporary folder: {place}"


def _parts(content: object) -> Iterator[Mapping[str, Any]]:
    if isinstance(content, Mapping):
        if "path" in content:
            yield content
        content = [*content.values()]
    if isinstance(content, Sequence) and not isinstance(content, str):
        for inner in content:
            yield from _parts(inner)


def _rights(local: Path) -> Iterator[Problem]:
    name, content = _policy(local, policies.AUTHORISATION)
    permissions = (content or {}).get("permissions")
    if not isinstance(permissions, Mapping):
        yield name, "has no 'permissions'"
        return
    for role, rights in permissions.items():
        if not isinstance(rights, Mapping):
            if rights not in ("none", "no"):
                yield name, f"'{role}' may do everything, own code included"
            continue
        for right, what in _NOBODYS.items():
            if rights.get(right, "none") not in ("none", "no"):
                yield name, f"'{role}' {what}: '{right}' should be none"
        if rights.get("submit_job", "none") in ("any", "all"):
            yield name, f"'{role}' of any organisation may submit jobs: name the organisation, o:NAME"


_NOBODYS = {
    "byoc": "may bring own code",
    "shell_commands": "may read files",
    "server-predeployed-flwr": "may run Flower",
}


def _gate(local: Path) -> Iterator[Problem]:
    content = _read(local / policies.PRIVACY)
    scopes = (content or {}).get("scopes") or [{}]
    for chain in ("task_data_filters", "task_result_filters"):
        if not all(any(f.get("path") == policies.GATE for f in scope.get(chain, [])) for scope in scopes):
            yield policies.PRIVACY, f"'{chain}' has no {policies.GATE.rpartition('.')[2]}"
    if (content or {}).get("default_scope") is None:
        yield policies.PRIVACY, "has no 'default_scope': a job that names no scope passes unfiltered"


def _settings(kit: Path) -> Iterator[Problem]:
    startup = _read(kit / "startup" / "fed_client.json") or {}
    site = str(startup.get("client", {}).get("fqsn", "")).rpartition(".")[2]
    try:
        settings = read_settings(kit / "local", site)
    except InputError as e:
        yield Path(e.where).name, e.problem
        return
    if any(settings.spool.is_relative_to(t) for t in _TEMPORARY):
        yield f"exchange.{site}.json", "'spool' is in a temporary folder"


def _policy(local: Path, name: str) -> tuple[str, dict[str, Any] | None]:
    """A policy as FLARE finds it: the file, or its default."""
    file = local / name
    if not file.exists():
        name += ".default"
    return name, _read(local / name)


def _read(file: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None
