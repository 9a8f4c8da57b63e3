"""Going back: the model in use, which the alias ``accepted`` names, becomes an earlier version again.

Nothing is trained, copied or deleted. The alias moves, and the registry tells when that was done and for
which site; a transfer that began before does not take the alias away, however late its record is sent.
"""

from __future__ import annotations

import datetime
import json
import sys
from dataclasses import dataclass
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.utils.time import get_current_time_millis
from rich.console import Console
from rich.prompt import Confirm
from rich.text import Text

from clinical_qkt.core.errors import InputError
from clinical_qkt.review.tracking import registry, store, sync
from clinical_qkt.site.launch import plan
from clinical_qkt.site.places import places

IN_USE_BEFORE = "clinical_qkt.in_use_before"
"""The tag of a registered model: the version that a person last replaced; empty if none was in use."""
RESTORED_FOR = "clinical_qkt.restored_for"
"""The tag of a registered model: the pseudonym of the site for which that was done."""


@dataclass(frozen=True)
class Registry:
    """Where a site's models are registered.

    Attributes:
        uri: the site's tracking server, or its own database.
        local: its own database.
        task: the name of its models.
        site: its pseudonym.
    """

    uri: str
    local: str
    task: str
    site: str

    @classmethod
    def of(cls, site: Path) -> Registry:
        """By a site's YAML.

        Raises:
            InputError: it does not say, or there is no such database.
        """
        planned, found = plan("transfer", site, ()), places(site)
        meta = json.loads((planned.bundle / "configs" / "metadata.json").read_text(encoding="utf-8"))
        uri = found.tracking_server or found.tracking_uri
        file = store.database_file(uri)
        if uri.startswith(store.SQLITE) and not file.is_file():
            raise InputError(
                "there is no such database, so no transfer was recorded there",
                where=f"{site}: mlflow",
                fix="run a transfer first, or correct the address",
            )
        return cls(uri, found.tracking_uri, meta["defaults"]["task"], found.site)


def restore(
    site: Path, wanted: str, console: Console, *, yes: bool = False, although_not_accepted: bool = False
) -> None:
    """Make a registered version the model in use, after showing what is and what would be.

    Args:
        site: a site's YAML.
        wanted: the version's number.
        yes: agreed beforehand.
        although_not_accepted: take a version that never was accepted.

    Raises:
        InputError: there is no such version; it was never accepted; nobody said yes.
        OutputError: the server is away or refuses.
    """
    where = Registry.of(site)
    with store.told(where.uri):
        store.require_awake(where.uri)
        client = MlflowClient(where.uri, where.uri)
        before, version = registry.in_use(client, where.task), _version(client, where.task, wanted)
        if not although_not_accepted:
            _require_accepted(version)
        console.print(f"in use now:  {described(before)}", markup=False, soft_wrap=True)
        if before is not None and before.version == version.version:
            console.print("that is the one you name; nothing was changed")
            return
        console.print(f"would be:    {described(version)}", markup=False, soft_wrap=True)
        _require_yes(console, version, yes=yes)
        choose(client, where, before, version)
        console.print(f"in use now:  {described(registry.in_use(client, where.task))}", markup=False)
        _follow(client, where, version)


def choose(client: MlflowClient, where: Registry, before: ModelVersion | None, version: ModelVersion) -> None:
    """Point the alias at a version, and say so first: whatever is cut off in between can be done again."""
    tags = {
        registry.RESTORED: str(get_current_time_millis()),
        RESTORED_FOR: where.site,
        IN_USE_BEFORE: str(before.version) if before else "",
    }
    for name, value in tags.items():
        client.set_registered_model_tag(where.task, name, value)
    client.set_registered_model_alias(where.task, registry.ACCEPTED, str(version.version))


def described(version: ModelVersion | None) -> str:
    """A version in words: number, class, site, verdict, day.

    >>> described(None)
    'no version'
    """
    if version is None:
        return "no version"
    made = datetime.datetime.fromtimestamp(version.creation_timestamp / 1000, datetime.UTC)
    tags, verdict = version.tags, registry.verdict_of(version) or "no verdict"
    what = " at ".join(tags[k] for k in registry.FROM_RUN if tags.get(k))
    return f"version {version.version}" + (f", {what}" if what else "") + f": {verdict}, {made:%Y-%m-%d}"


def _version(client: MlflowClient, task: str, wanted: str) -> ModelVersion:
    known = sorted(client.search_model_versions(f"name = '{task}'"), key=lambda v: int(v.version))
    for version in known:
        if str(version.version) == wanted.removeprefix("v"):
            return client.get_model_version(task, str(version.version))
    listed = "; ".join(described(v) for v in known[-8:])
    raise InputError(
        f"there is no such version of {task}",
        where=f"VERSION {wanted[:20]}",
        fix=f"give one of these: {listed}" if known else "run a transfer first; none is registered",
    )


def _require_accepted(version: ModelVersion) -> None:
    verdict = registry.verdict_of(version)
    if verdict != registry.ACCEPTED:
        raise InputError(
            f"it was never accepted: {verdict or 'its transfer has not ended'}",
            where=f"VERSION {version.version}",
            fix="name another version, or give --although-not-accepted if you answer for it",
        )


def _require_yes(console: Console, version: ModelVersion, *, yes: bool) -> None:
    if yes:
        return
    fix = "give --yes, or run it in a terminal"
    if not sys.stdin.isatty():
        raise InputError("nobody is there to agree", where=f"VERSION {version.version}", fix=fix)
    if not Confirm.ask(Text(f"Use version {version.version} from now on?"), console=console, default=False):
        raise InputError("nobody said yes; nothing was changed", where=f"VERSION {version.version}", fix=fix)


def _follow(server: MlflowClient, where: Registry, version: ModelVersion) -> None:
    """The site's own database, too, if its records went to a server: the next transfer is compared there."""
    if where.uri == where.local or not store.database_file(where.local).is_file():
        return
    origin = server.get_run(str(version.run_id)).data.tags.get(sync.ORIGIN)
    own = MlflowClient(where.local, where.local)
    same = [v for v in own.search_model_versions(f"run_id = '{origin}'") if v.name == where.task]
    if not same:
        print("note: the site's own database has no such version and stays as it is", file=sys.stderr)
        return
    choose(own, where, registry.in_use(own, where.task), same[0])
