"""Where a site's records lie, by its YAML alone: no bundle is read and no image is looked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from clinical_qkt.core.errors import InputError
from clinical_qkt.packages import made_here
from clinical_qkt.packages.trust import Trust
from clinical_qkt.site.config import Site, SiteTrust, read_part


class _Places(SiteTrust):
    mlflow: str = ""
    site: str | None = None
    output_dir: Path | None = None
    transfer_dir: Path | None = None

    @property
    def output(self) -> Path | None:
        """As the bundles' train.yaml has it where the site's file does not say."""
        return self.output_dir or (Path("runs") / self.site if self.site else None)


def places(site: Path) -> Site:
    """Of a site, as its YAML says it: pseudonym, tracking server, database, folders; nothing else is there.

    Raises:
        InputError: the file cannot be read, or does not say.
    """
    found = read_part(site, _Places)
    folder = found.transfer_dir or (found.output / "transfer" if found.output else None)
    if folder is None and not found.mlflow:
        raise InputError(
            "says nothing of where its runs are logged", where=str(site), fix="give --mlflow URI"
        )
    said: dict[str, Any] = {"mlflow": found.mlflow, "transfer_dir": folder or Path(), "site": found.site}
    return Site.model_construct(**said, output_dir=found.output or Path())


def trust_of(site: Path) -> Trust:
    """Whose packages a site takes, by its YAML alone.

    Raises:
        InputError: the file cannot be read, or a key that counts here is wrong.
        OutputError: the record of what the site made cannot be read.
    """
    found = read_part(site, _Places)
    if found.site is None or found.output is None:
        return found.trust
    own = made_here.cards(made_here.places(found.site, found.output))
    return replace(found.trust, site=found.site, made_here=own)
