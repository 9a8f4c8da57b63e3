"""The keys of the config that a bundle runs: every one is known, and the site's make sense."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser, ConfigWorkflow
from monai.bundle.utils import DEFAULT_MLFLOW_SETTINGS

from clinical_qkt.errors import InputError, one_of
from clinical_qkt.sites import Site, check_site

_TRACKING: Any = DEFAULT_MLFLOW_SETTINGS
NEEDED = {"transfer": ("query", "teachers or answers"), "query": ("query",)}
"""What a command cannot do without, of what a site may leave empty."""


def check(workflow: ConfigWorkflow) -> Site:
    """Check every key of the config that is being run, and what it says of the site.

    MONAI ignores a top-level key that it does not know, whether it comes from a site's YAML or from the
    command line. Here a key must stand in one of the bundle's own config files or describe a site; one that
    starts with an underscore is free.

    Raises:
        InputError: names the key and the likeliest right one; or all of the site's fields that are wrong.
    """
    parser = workflow.parser
    known: set[str] = set(Site.model_fields) | set(_TRACKING["configs"])
    for file in sorted(Path(workflow.config_root_path).glob("*.yaml")):
        known |= {k.lstrip("+") for k in ConfigParser.load_config_file(file)}
    for key in parser.get(""):
        if key not in known and not key.startswith("_"):
            raise InputError(
                f"unknown key '{key}'",
                where="the site's YAML or the command line",
                fix=one_of(key, sorted(known)),
            )
    missing = [k for k in ("site", "data") if parser[k] is None]
    if missing:
        raise InputError(
            "is missing",
            where=f"site: {' and '.join(missing)}",
            fix="give a site's YAML last in --config_file",
        )
    site = check_site(
        {k: parser.get_parsed_content(k) for k in Site.model_fields if k in parser},
        f"site '{parser['site']}'",
    )
    for keys in NEEDED.get(parser["command"], ()):
        if not any(getattr(site, key) for key in keys.split(" or ")):
            raise InputError(
                "is empty", where=f"site '{site.site}': {keys}", fix=f"list at least one under '{keys}'"
            )
    return site
