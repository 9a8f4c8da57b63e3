"""The keys of the config that a bundle runs: every one is known, and says what its type allows.

This comes before anything else that a stage does. A text that stands for a boolean or a number, as a shell
hands it over, is replaced in the config; what stands for neither is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, get_args, get_origin

import torch
from monai.bundle import ConfigParser, ConfigWorkflow
from monai.bundle.utils import DEFAULT_MLFLOW_SETTINGS
from pydantic import BaseModel, ValidationError

from clinical_qkt.bundle.components import require_ours, strange_arguments
from clinical_qkt.bundle.earlier_copies import require_known
from clinical_qkt.bundle.literals import is_expression, misplaced, put, put_right, readers
from clinical_qkt.bundle.origins import ANYWHERE, origin_of_config, own_files_given
from clinical_qkt.bundle.sections import check_settings, parsed, read_contract
from clinical_qkt.bundle.stage_keys import StageKeys
from clinical_qkt.core.errors import InputError, one_of
from clinical_qkt.core.refusals import Origin, refusal, refused
from clinical_qkt.core.renamed import CONFIG, warn
from clinical_qkt.core.shipped_bundles import chain
from clinical_qkt.core.values import plain_type, true_or_false
from clinical_qkt.site.config import FIX, Site, check_site

_TRACKING: Any = DEFAULT_MLFLOW_SETTINGS
FILES = "files"
"""The key to which each of a bundle's config files adds its name."""
NEEDED = {
    "transfer": ("query", "teachers or responses or published"),
    "query": ("query",),
    "judge": ("query", "assessments"),
}
"""What a command cannot do without, of what a site may leave empty."""
GIVEN = {
    "inference": ("images", "give --images FOLDER, with the images that are to be classified"),
    "answer": ("request", "give the query package with --request FOLDER"),
    "assess": ("request", "give the model package with --request FOLDER"),
}
"""What a command has to be told anew each time."""


def check(workflow: ConfigWorkflow) -> Site:
    """Check every key of the config that is being run, and what it says of the site.

    MONAI ignores a top-level key that it does not know, whether it comes from a site's YAML or from the
    command line. Here a key must stand in one of the bundle's own config files or describe a site; one that
    starts with an underscore is free.

    Raises:
        InputError: names the key and the likeliest right one; or all values that are wrong.
    """
    parser, origin = workflow.parser, origin_of_config()
    own = own_files(workflow)
    _under_new_names(parser, own, origin)
    require_ours(own)
    _require_files(workflow, own_files_given(own) or parser.get(FILES))
    _require_known(parser, own, origin)
    _require_site(parser)
    models = {*Site.model_fields, *StageKeys.model_fields, FILES, "imports"}
    problems = misplaced(parser, list(own.values()), models) or strange_arguments(parser, own.values())
    problems += put_right(parser, readers(list(own.values())), origin)
    if problems:
        raise refusal(problems, origin, fix=FIX)
    _check_stage(parser, own, origin)
    read = {k: parsed(parser, k, origin) for k in Site.model_fields if k in parser}
    site = check_site(read, f"site '{parser['site']}'", origin)
    require_known(site, own, Path(workflow.config_root_path))
    _put_read(parser, site, Site)
    check_settings(parser, origin)
    read_contract(parsed(parser, "input", origin))
    _require_needed(parser, site)
    return site


def switch(key: str, value: Any) -> bool:
    """The one reader of true and false, for whatever acts on one.

    Raises:
        InputError: it is neither.
    """
    try:
        return true_or_false(value)
    except ValueError as e:
        raise InputError(
            f"{e} (given: {value!r})", where=key, fix=f"write --{key} true or --{key} false"
        ) from None


def own_files(workflow: ConfigWorkflow) -> dict[str, dict[str, Any]]:
    """What the bundle's own config files say, by their names."""
    root = Path(workflow.config_root_path)
    if not (root / "train.yaml").is_file():
        raise InputError(
            "holds no train.yaml, so the first file is none of a bundle",
            where=f"--config_file: {root}",
            fix="name the bundle's train.yaml first, then the stage's file, and the site's YAML last",
        )
    return {f.stem: _loaded(f, f.stat().st_mtime_ns) for f in sorted(root.glob("*.yaml"))}


def own_texts(workflow: ConfigWorkflow) -> list[dict[str, Any]]:
    """What the bundle itself says: its config files and its metadata."""
    meta = Path(workflow.config_root_path) / "metadata.json"
    return [
        *own_files(workflow).values(),
        *([_loaded(meta, meta.stat().st_mtime_ns)] if meta.is_file() else []),
    ]


@lru_cache(maxsize=100)
def _loaded(file: Path, changed: int) -> dict[str, Any]:
    """What a file says; not to be changed."""
    return ConfigParser.load_config_file(file)


def _require_files(workflow: ConfigWorkflow, files: Any) -> None:
    """An overlay stands after what it lies over.

    Raises:
        InputError: names the file that is missing, and the order.
    """
    names = [f for f in files if isinstance(f, str)] if isinstance(files, list) else []
    known = sorted(f.stem for f in Path(workflow.config_root_path).glob("*.yaml"))
    for i, name in enumerate(names):
        wanted = chain(name, known)
        missing = [n for n in wanted[:-1] if n not in names[:i]]
        if missing:
            order = ", ".join(f"{n}.yaml" for n in wanted)
            raise InputError(
                f"{name}.yaml is an overlay and needs {missing[0]}.yaml before it",
                where="--config_file",
                fix=f"give the files in this order: {order}, SITE.yaml",
            )


def _require_known(parser: ConfigParser, own: Mapping[str, Mapping[str, Any]], origin: Origin) -> None:
    known: set[str] = {*Site.model_fields, *CONFIG, *_TRACKING["configs"]}
    for content in own.values():
        known |= {k.lstrip("+") for k in content}
    for key in parser.get(""):
        if not isinstance(key, str):
            raise InputError(
                f"the key {key!r} is no text", where=ANYWHERE, fix='put a key such as "yes" into quotes'
            )
        said = key == FILES and (origin.override((key,)) or origin.where((key,)) != origin.default)
        if said or (key not in known and not key.startswith("_")):
            raise InputError(
                f"unknown key '{key}'", where=origin.where((key,)), fix=one_of(key, sorted(known - {FILES}))
            )


def _under_new_names(parser: ConfigParser, own: Mapping[str, Mapping[str, Any]], origin: Origin) -> None:
    """What somebody wrote under a key's old name stands under the new one, too.

    The old key stays: a bundle that was copied before may look it up.

    Raises:
        InputError: a key is given under both.
    """
    config = parser.get("")
    for old, new in CONFIG.items():
        if old not in config or config[old] in (None, []):
            continue
        if new in config and config[new] not in [content.get(new) for content in own.values()]:
            raise InputError(
                f"is called '{new}' now, which is given, too",
                where=f"{origin.where((old,))}: {old}",
                fix="leave one out",
            )
        warn(old, new)
        if new in config:
            put(parser, new, config[old])
        else:  # a bundle that was copied before
            config[new] = config[old]


def _require_site(parser: ConfigParser) -> None:
    missing = [k for k in ("site", "data") if parser.get(k) is None]
    if missing:
        raise InputError(
            "is missing",
            where=f"site: {' and '.join(missing)}",
            fix="give a site's YAML last in --config_file",
        )


def _check_stage(parser: ConfigParser, own: Mapping[str, Mapping[str, Any]], origin: Origin) -> None:
    """The stage's own keys; expressions of the bundle's files are left for when they are needed.

    Raises:
        InputError: all values that are wrong.
    """
    config = parser.get("")  # asking the parser itself for a key that is missing is slow
    said = {k: config[k] for k in StageKeys.model_fields if k in config and k not in Site.model_fields}
    ours = {k: [c[k] for c in own.values() if k in c] for k in said}
    given = {
        k: _plain(parsed(parser, k, origin)) if is_expression(v) else v
        for k, v in said.items()
        if not ((is_expression(v) or v is None) and v in ours[k])
    }
    try:
        read = StageKeys.model_validate(given)
    except ValidationError as e:
        raise refused(e, StageKeys, origin, fix="that, see docs/reference/command-line.md") from None
    _put_read(parser, read, StageKeys)
    if "device" in read.model_fields_set:
        put(parser, "device", _device(read.device, origin))


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, torch.device) else value


def _device(name: str, origin: Origin) -> torch.device:
    """
    Raises:
        InputError: there is no such device on this machine.
    """
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError):  # torch's, without and with CUDA
        here = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
        raise InputError(
            f"device: there is no '{name}' here", where=origin.where(("device",)), fix=one_of(name, here)
        ) from None
    return device


def _put_read(parser: ConfigParser, read: BaseModel, model: type[BaseModel]) -> None:
    """Booleans and numbers as they were read take the places of texts in the config."""
    for key in read.model_fields_set:
        kind = plain_type(model.model_fields[key].annotation)
        simple = kind in (bool, int, float) or (get_origin(kind) is list and get_args(kind)[0] is int)
        value = getattr(read, key)
        if simple and key in parser and not is_expression(parser[key]) and _differ(parser[key], value):
            put(parser, key, value)


def _require_folder(value: Any, key: str, fix: str) -> None:
    if value is None:
        raise InputError("is missing", where=key, fix=fix)
    if not is_expression(value) and not Path(value).is_dir():
        what = "is a file" if Path(value).exists() else "there is no such folder"
        raise InputError(what, where=f"{key}: {value}", fix=fix)


def _differ(a: Any, b: Any) -> bool:
    return type(a) is not type(b) or a != b


def _require_needed(parser: ConfigParser, site: Site) -> None:
    command, who = parser["command"], f"site '{site.site}'"
    asks_everybody = command == "query" and parser.get("settings::reference") in (True, "true")
    for keys in () if asks_everybody else NEEDED.get(command, ()):
        if not any(getattr(site, key) for key in keys.split(" or ")):
            raise InputError("is empty", where=f"{who}: {keys}", fix=f"list at least one under '{keys}'")
    key, fix = GIVEN.get(command, ("", ""))
    if key:
        _require_folder(parser.get(key), key, fix)
    if command == "train" and len(site.classes) < 2:
        raise InputError(
            "a classifier needs two classes at least, and there is one",
            where=f"{who}: classes",
            fix="list all classes that the images show; a class for everything else is one, too",
        )
    if command != "inference" and not site.data.is_file():
        what = "it is a folder" if site.data.is_dir() else "there is no such file"
        raise InputError(
            f"the datalist cannot be read ({what})",
            where=str(site.data),
            fix="correct 'data', or make a datalist with `clinical-qkt prepare`",
        )
