"""Where the values of a config were written: on the command line or in which file."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser, ReferenceResolver

from clinical_qkt.bundle.literals import leaves
from clinical_qkt.core.errors import InputError
from clinical_qkt.core.refusals import COMMAND_LINE, Origin

ANYWHERE = "the site's YAML or the command line"


def origin_of_config() -> Origin:
    """Where the values of the config that is being run were written, as far as the callers tell it.

    Raises:
        InputError: the command line says None, which MONAI's launcher leaves out without a word.
    """
    files, overrides = _given()
    read = {
        str(f): {"::".join(at): None for at in _places(ConfigParser.load_config_file(f))}
        for f in map(Path, files)
        if f.is_file() and not (f.parent / "metadata.json").is_file()
    }
    return Origin(ANYWHERE, {ReferenceResolver.normalize_id(k): v for k, v in overrides.items()}, read)


def own_files_given(own: Collection[str]) -> list[str]:
    """The names of the bundle's own files among those that were given, in their order.

    Args:
        own: the names of all that the bundle has.
    """
    files = [Path(f) for f in _given()[0]]
    return [f.stem for f in files if f.stem in own and (f.parent / "metadata.json").is_file()]


def _given() -> tuple[list[Any], Mapping[str, Any]]:
    """Config files and overrides, from whoever of the callers was given them: a workflow keeps neither."""
    frame = inspect.currentframe()
    while frame is not None:
        here = frame.f_locals
        if frame.f_code.co_name == "run" and {"config_file", "override"} <= set(here):
            _require_said(here["override"])
            files = here["config_file"] or []
            return [files] if isinstance(files, str) else list(files), here["override"]
        if frame.f_code.co_name == "run" and {"config_files", "overrides"} <= set(here):
            return list(here["config_files"]), here["overrides"]
        frame = frame.f_back
    return [], {}


def _require_said(override: Mapping[str, Any]) -> None:
    empty = [k for k, v in override.items() if v is None]
    if empty:
        raise InputError(
            f"--{empty[0]}: None is left out by MONAI's launcher",
            where=COMMAND_LINE,
            fix=f"leave out --{empty[0]}, or set '{empty[0]}' in the site's YAML",
        )


def _places(content: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """Every place in a file's sections, those of the sections included."""
    for at, _ in leaves({k.lstrip("+") if isinstance(k, str) else k: v for k, v in content.items()}):
        for n in range(1, len(at) + 1):
            yield tuple(map(str, at[:n]))
