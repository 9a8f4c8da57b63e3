"""A consortium's FLARE: the input of FLARE's own provisioning, and policies in place of its defaults.

Keys and certificates are made by ``nvflare cert`` and ``nvflare package``, each where it is used.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import Field, StringConstraints, ValidationError

from clinical_qkt.core.errors import InputError, OutputError
from clinical_qkt.core.files import write_json, write_text
from clinical_qkt.core.values import Strict
from clinical_qkt.core.yaml_file import read_yaml
from clinical_qkt.exchange.carriers.flare import policies
from clinical_qkt.exchange.carriers.flare.settings import SiteSettings, settings_file

Organisation = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]{1,64}$")]
"""In FLARE's certificates; small letters, since FLARE compares without regard to capitals."""
_SITE = r"^[A-Za-z0-9][A-Za-z0-9_\-]{0,63}$"
_HOST = r"^([A-Za-z0-9]([A-Za-z0-9\-]*[A-Za-z0-9])?\.)*[A-Za-z0-9]([A-Za-z0-9\-]*[A-Za-z0-9])?$"
_BUILDERS = ["workspace.WorkspaceBuilder", "static_file.StaticFileBuilder", "cert.CertBuilder"]


class RelayServer(Strict):
    """Where the relay runs."""

    host: str = Field(pattern=_HOST, max_length=200)
    """Its name, by which all sites reach it."""
    port: int = Field(default=8002, ge=1, le=65535)
    """The only port that is used: sites and the sweeper connect to it, nobody connects to them."""
    organisation: Organisation
    """Who runs it."""
    store: Path = Path("/var/lib/clinical-qkt/relay")
    """Where it keeps its list of jobs."""


class Sweeper(Strict):
    """Who starts sweeps; FLARE's role is lead."""

    name: str = Field(pattern=r"^[A-Za-z0-9._%+\-]{1,50}@[A-Za-z0-9.\-]{1,60}\.[A-Za-z]{2,10}$")
    """In the form of an e-mail address, as FLARE wants it."""
    organisation: Organisation


class Participant(Strict):
    """A hospital."""

    organisation: Organisation
    spool: Path = Path("/var/lib/clinical-qkt/spool")
    """Where its parcels wait and come in."""


class Consortium(Strict):
    """The file that ``exchange provision`` reads."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_\-]{0,40}$")
    relay: RelayServer
    sweeper: Sweeper
    sites: dict[Annotated[str, StringConstraints(pattern=_SITE)], Participant] = Field(min_length=2)
    """By their pseudonyms, which are their names in FLARE, too: a pseudonym with a point cannot be one."""


def read_consortium(file: Path) -> Consortium:
    """A consortium's file.

    Raises:
        InputError: a key is unknown, missing or wrong.
    """
    try:
        return Consortium.model_validate(read_yaml(file))
    except ValidationError as e:
        found = e.errors()[0]
        key = ".".join(str(k) for k in found["loc"])
        raise InputError(f"'{key}': {found['msg']}", where=str(file), fix="correct it") from None


def provision(consortium: Consortium, out: Path) -> None:
    """Write what FLARE's own commands read, and each participant's policies.

        profile.yaml            of all: `nvflare cert init` and `nvflare cert approve`
        participants/NAME.yaml  of one: `nvflare cert request`, where its key is to stay
        project.yml             all at once, for a trial on one machine: `nvflare provision`
        policies/NAME/local/    to be copied into the startup kit's folder `local`

    Args:
        out: a new folder.

    Raises:
        OutputError: it is there already.
    """
    if out.exists() and any(out.iterdir()):
        raise OutputError("is not empty", where=str(out), fix="name a new folder")
    people = _participants(consortium)
    server = {"host": consortium.relay.host, "fed_learn_port": consortium.relay.port}
    secure = {"scheme": "grpc", "connection_security": "mtls"}
    _write(out / "profile.yaml", {"name": consortium.name, **secure, "server": server})
    for participant in people:
        _write(
            out / "participants" / f"{participant['name']}.yaml",
            {"name": consortium.name, "participants": [participant]},
        )
    _write(out / "project.yml", _project(consortium.name, people))
    _write_policies(consortium, out / "policies")


def _participants(consortium: Consortium) -> list[dict[str, Any]]:
    relay, sweeper = consortium.relay, consortium.sweeper
    return [
        {
            "name": relay.host,
            "type": "server",
            "org": relay.organisation,
            "fed_learn_port": relay.port,
            "admin_port": relay.port,
        },
        {"name": sweeper.name, "type": "admin", "org": sweeper.organisation, "role": "lead"},
        *(
            {"name": name, "type": "client", "org": site.organisation}
            for name, site in consortium.sites.items()
        ),
    ]


def _project(name: str, people: list[dict[str, Any]]) -> dict[str, Any]:
    builders: list[dict[str, Any]] = [{"path": f"nvflare.lighter.impl.{path}"} for path in _BUILDERS]
    builders[0]["args"] = {"template_file": ["master_template.yml"]}
    builders[1]["args"] = {"config_folder": "config", "scheme": "grpc", "require_signed_jobs": True}
    return {
        "api_version": 3,
        "name": name,
        "description": "Sealed parcels",
        "participants": people,
        "builders": [*builders, {"path": "nvflare.lighter.impl.signature.SignatureBuilder"}],
    }


def _write_policies(consortium: Consortium, out: Path) -> None:
    rights = policies.authorisation([consortium.sweeper.organisation])
    relay = policies.relay_resources(str(consortium.relay.store), len(consortium.sites))
    for name, resources in {
        consortium.relay.host: relay,
        **dict.fromkeys(consortium.sites, policies.site_resources()),
    }.items():
        write_json(out / name / "local" / policies.AUTHORISATION, rights)
        write_json(out / name / "local" / policies.RESOURCES, resources)
    for name, site in consortium.sites.items():
        local = out / name / "local"
        settings = SiteSettings(spool=site.spool, relay_organisations=[consortium.sweeper.organisation])
        write_json(local / policies.PRIVACY, policies.privacy())
        write_json(settings_file(local, name), json.loads(settings.model_dump_json()))


def _write(file: Path, content: Mapping[str, Any]) -> None:
    write_text(file, yaml.safe_dump(dict(content), sort_keys=False))
