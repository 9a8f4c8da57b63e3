"""Where a site's records lie, by its YAML alone: no bundle is read and no image is looked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from clinical_qkt.errors import InputError
from clinical_qkt.sites import Site, SiteTrust, read_part


def places(site: Path) -> Site:
    """Of a site, as its YAML says it: pseudonym, tracking server and database. Nothing else is there.

    Raises:
        InputError: the file cannot be read, or does not say.
    """

    class Places(SiteTrust):
        mlflow: str = ""
        site: str | None = None
        output_dir: Path | None = None
        transfer_dir: Path | None = None

    found = read_part(site, Places)
    # As the bundles' train.yaml has them where the site's file does not say.
    output = found.output_dir or (Path("runs") / found.site if found.site else None)
    folder = found.transfer_dir or (output / "transfer" if output else None)
    if folder is None and not found.mlflow:
        raise InputError(
            "says nothing of where its runs are logged", where=str(site), fix="give --mlflow URI"
        )
    said: dict[str, Any] = {"mlflow": found.mlflow, "transfer_dir": folder or Path(), "site": found.site}
    return Site.model_construct(**said)
