"""The parts of the reference that are made from the code: a site's YAML, the command line, packages.

Run in a checkout: ``python -m clinical_qkt.documentation.reference``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from clinical_qkt.cli.app import app
from clinical_qkt.core.errors import QKTError
from clinical_qkt.core.files import write_text
from clinical_qkt.core.schema import DIALECT, SHOWN
from clinical_qkt.documentation import packages, summary
from clinical_qkt.documentation.schema_tables import between_marks, bounds, plain, table, tidied
from clinical_qkt.site.config import Site, SiteTrust

BY = "clinical_qkt.documentation.reference"
SITE_PAGE, COMMANDS_PAGE = Path("docs/reference/site-yaml.md"), Path("docs/reference/command-line.md")
SITE_SCHEMA = Path("configs/schemas/site.json")
BUNDLES = Path("bundles")

_PARTS = {
    "SiteClass": "what-can-classes-and-query-say-of-a-class",
    "ClassLabel": "what-can-classes-and-query-say-of-a-class",
    "Policy": "what-can-policy-say",
    "Assess": "what-can-assess-say",
    "Acceptance": "what-can-acceptance-say",
    "LookLimits": "what-can-acceptancelooks-say",
    "TestImages": "what-can-test_data-say",
    "Monitoring": "what-can-monitoring-say",
    "Exchange": "what-can-exchange-say",
    "Automatic": "what-can-exchangeautomatic-say",
}
"""Under which heading of the page each part of a site's YAML is told."""
_KINDS = {"path": "path", "int": "whole number", "float": "number", "str": "text", "bool": "switch"}


def files(root: Path) -> dict[Path, str]:
    """Every file that is made, with its text; of a page only what stands between marks is replaced."""
    described = site_schema()
    blocks = {"site": table(described)} | {k: table(described["$defs"][k]) for k in _PARTS}
    blocks = {name: _linked(block) for name, block in blocks.items()}
    site = (root / SITE_PAGE).read_text(encoding="utf-8")
    for name in ("site", *(part for part in _PARTS if part != "ClassLabel")):
        site = between_marks(site, BY, name, blocks[name])
    commands = (root / COMMANDS_PAGE).read_text(encoding="utf-8")
    for name, block in (("commands", "\n\n".join(_commands())), ("exit codes", exit_codes())):
        commands = between_marks(commands, BY, name, block)
    schema = json.dumps(_file_schema(described, root), indent=2, ensure_ascii=False) + "\n"
    made = {root / SITE_PAGE: site, root / COMMANDS_PAGE: commands, root / SITE_SCHEMA: schema}
    return made | packages.files(root) | summary.files(root)


def site_schema() -> dict[str, Any]:
    """What a site's YAML may say, as a JSON Schema; what a bundle's configs set need not be said."""
    made = tidied(Site.model_json_schema())
    fields, last = made["properties"], list(SiteTrust.model_fields)
    order = dict.fromkeys(["site", "data", "classes", "query", *(f for f in fields if f not in last), *last])
    made["properties"] = {name: fields[name] for name in order}
    made["required"] = [name for name in order if name in made["required"] and SHOWN not in fields[name]]
    return made


def _file_schema(described: dict[str, Any], root: Path) -> dict[str, Any]:
    """The same for an editor or a validator.

    A class may be a bare name; and any key of the bundle's configs may be overridden, see
    ``config_keys.check``.
    """
    made = _named_alone(_without_shown(described))
    overridden = "|".join(k for k in bundle_keys(root) if k not in made["properties"])
    made["patternProperties"] = {"^_": {}, "::": {}, f"^({overridden})$": {}}
    return {"$schema": DIALECT, "title": "A site's YAML", **made}


def bundle_keys(root: Path) -> list[str]:
    """The keys that stand in the bundles' own configs."""
    found = set()
    for config in sorted(root.glob(f"{BUNDLES}/*/configs/*.yaml")):
        found |= {k.lstrip("+") for k in yaml.safe_load(config.read_text(encoding="utf-8"))}
    return sorted(key for key in found - {"files"} if "::" not in key)


def _commands() -> Iterator[str]:
    """A section for each command of the command line."""
    top = typer.main.get_command(app)
    with typer.Context(top, info_name="clinical-qkt") as context:
        yield from _sections(top, "clinical-qkt", context)


def _sections(command: Any, name: str, context: Any) -> Iterator[str]:
    for word, inner in getattr(command, "commands", {}).items():
        with typer.Context(inner, info_name=word, parent=context) as below:
            if hasattr(inner, "commands"):
                yield from _sections(inner, f"{name} {word}", below)
            else:
                yield _section(inner, f"{name} {word}", below)


def _section(command: Any, name: str, context: Any) -> str:
    given = [p for p in command.params if p.name != "help"]
    words = [f"{p.name.upper()}{' …' if p.nargs != 1 else ''}" for p in given if not _is_option(p)]
    must = [f"{p.opts[0]} …" for p in given if _is_option(p) and p.required]
    told = [f"### `{' '.join([name, *words, *must])}`", plain(" ".join((command.help or "").split()))]
    if given:
        rows = ["| argument or option | type and limits | default | meaning |", "| --- | --- | --- | --- |"]
        told.append("\n".join(rows + [_row(p, context) for p in given]))
    return "\n\n".join(told)


def _row(given: Any, context: Any) -> str:
    names = [*given.opts, *given.secondary_opts] if _is_option(given) else [given.name.upper()]
    shown = ", ".join(f"`{n}`" for n in names)
    meaning = plain(given.help or "").replace("<", "&lt;")
    return f"| {shown} | {_kind(given, context)} | {_default(given)} | {meaning} |"


def _kind(given: Any, context: Any) -> str:
    """Type and limits in words."""
    told = given.display_type(context).strip("<>").removesuffix(" range")
    again = ""
    if listed := re.fullmatch(r"list\[(\w+)\]", told):
        told, again = listed[1].lower(), "; several" if not _is_option(given) else "; can be given again"
    if "|" in told:
        return ", ".join(f"`{choice}`" for choice in told.split("|"))
    limits = {"minimum": given.min, "maximum": given.max}
    return _KINDS[told] + bounds({k: v for k, v in limits.items() if v is not None}) + again


def _default(given: Any) -> str:
    if given.required:
        return "required"
    if given.default is None:
        return ""
    if isinstance(given.default, bool):
        return "on" if given.default else "off"
    return f"`{given.default or repr(given.default)}`"


def _is_option(given: Any) -> bool:
    return given.param_type_name == "option"


def exit_codes() -> str:
    """What each exit code means, from the errors' own words."""
    kinds = QKTError.__subclasses__()
    told = {
        0: "Done.",
        1: "A bug: please report it. Of `package diff`: they differ; of `audit`: it failed.",
        10: "Of `monitor`: an alarm.",
        11: "Of `monitor`: the model is to be switched off.",
        12: "Of `monitor`: too few images to say anything.",
    }
    for kind in kinds:
        told[kind.exit_code] = re.sub(r" \(exit code \d\)", "", (kind.__doc__ or "").splitlines()[0])
    rows = [f"| {code} | {what} |" for code, what in sorted(told.items())]
    return "\n".join(["| code | meaning |", "| --- | --- |", *rows])


def _linked(block: str) -> str:
    for name, heading in _PARTS.items():
        block = block.replace(f"(#{name.lower()})", f"(#{heading})")
    return block


def _without_shown(made: Any) -> Any:
    if isinstance(made, dict):
        return {k: _without_shown(v) for k, v in made.items() if k != SHOWN}
    return [_without_shown(v) for v in made] if isinstance(made, list) else made


def _named_alone(made: Any) -> Any:
    """Where a class stands, a name alone may stand."""
    if isinstance(made, list):
        return [_named_alone(value) for value in made]
    if not isinstance(made, dict):
        return made
    if made.get("$ref") in ("#/$defs/SiteClass", "#/$defs/ClassLabel"):
        return {"anyOf": [{"type": "string"}, made]}
    return {k: _named_alone(v) for k, v in made.items()}


def main(
    root: Annotated[Path, typer.Argument(help="The checkout.")] = Path(__file__).parents[2],
) -> None:
    """Write the JSON Schemas and the generated tables of the reference anew."""
    for path, text in files(root).items():
        write_text(path, text)
        print(path.relative_to(root))


if __name__ == "__main__":
    typer.run(main)
