"""Single values in nested sections of a config: each is of the kind that the bundle's own files have there.

MONAI hands a text such as ``false``, which is true for Python, to whatever component a section describes.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from monai.bundle import ConfigParser

from clinical_qkt.core.refusals import Origin, Place, Problem, shown, wrong
from clinical_qkt.core.values import number, true_or_false, whole_number

OF_THEIR_OWN = (
    *(
        "settings",
        "input",
        "policy",
        "acceptance",
        "assess",
        "monitoring",
        "made_for",
        "_meta_",
        "initialize",
        "run",
    ),
)
"""Sections that a model of their own checks."""
_NAMES = ("classes", "query", "teachers", "responses", "answers", "published", "assessments", "trusted_keys")
"""Keys with lists of names and paths, of which one may be a word such as ``no``."""
_SWITCHES = {"yes", "no", "on", "off", "true", "false"}
_EXPRESSION = re.compile(r"[$@%]")


def leaves(config: Any, at: Place = ()) -> Iterator[tuple[Place, Any]]:
    """Every single value of nested sections and lists, with its place."""
    if isinstance(config, Mapping | list) and config:
        pairs = config.items() if isinstance(config, Mapping) else enumerate(config)
        for key, value in pairs:
            more = tuple(str(key).replace("#", "::").split("::")) if isinstance(key, str) else (str(key),)
            yield from leaves(value, (*at, *more))
    else:
        yield at, config


def readers(files: list[Mapping[str, Any]]) -> dict[Place, Any]:
    """How the value at a place is read, where all of a bundle's files hold a literal of one kind there.

    Args:
        files: what the bundle's own config files say.
    """
    found: dict[Place, set[Any]] = {}
    for content in files:
        plain = {key.lstrip("+"): value for key, value in content.items()}
        for at, value in leaves(plain):
            if len(at) > 1 and at[0] not in OF_THEIR_OWN and not is_expression(value):
                found.setdefault(at, set()).add(type(value))
    return {at: _reader(kinds) for at, kinds in found.items() if _reader(kinds)}


def misplaced(parser: ConfigParser, files: list[Mapping[str, Any]], models: Collection[str]) -> list[Problem]:
    """Plain values where the bundle's files have sections, or work something out.

    Args:
        files: what the bundle's own config files say.
        models: keys that a model checks.
    """
    config, problems = parser.get(""), []
    for at, kinds in _kinds(files).items():
        if at[0] in models or at[0] in ("settings", "input", "_meta_"):
            continue
        for value in _at(config, at):
            if kinds & {"value", _kind(value)} or value is None or _kind(value) == "worked out":
                continue
            if kinds == {"worked out"} and (len(at) > 1 or _kind(value) == "section"):
                continue
            what = "is a section" if "section" in kinds else "is worked out from others"
            fix = (
                f"leave {'::'.join(map(str, at))} as the bundle has it, or give what stands in its train.yaml"
            )
            problems.append(Problem(at, f"{what} in the bundle's files (given: {shown(value)})", fix))
    return problems


def _kinds(files: list[Mapping[str, Any]]) -> dict[Place, set[str]]:
    """At every place whether it holds a section, a value, or an expression, by which it is worked out."""
    found: dict[Place, set[str]] = {}
    for content in files:
        for at, value in leaves({key.lstrip("+"): value for key, value in content.items()}):
            found.setdefault(at, set()).add(_kind(value))
            for n in range(1, len(at)):
                found.setdefault(at[:n], set()).add("section")
    return found


def _kind(value: Any) -> str:
    if is_expression(value):
        return "worked out"
    return "section" if isinstance(value, Mapping | list) else "value"


def put_right(parser: ConfigParser, own: dict[Place, Any], origin: Origin) -> list[Problem]:
    """Replace texts by the booleans and numbers that they stand for, in place.

    Args:
        own: see ``readers``.

    Returns:
        What stands for nothing.
    """
    config, problems = parser.get(""), []
    found = {at: (reader, value) for at, reader in own.items() for value in _at(config, at)}
    for at, value in leaves(config):
        if len(at) > 1 and at[0] not in OF_THEIR_OWN and at not in own and _looks_like_a_switch(at, value):
            found[at] = (true_or_false, value)
    for at, (reader, value) in found.items():
        if is_expression(value) or (value is None and reader is not true_or_false):
            continue
        try:
            read = reader(value)
        except ValueError as e:
            likely = (True, False) if reader is true_or_false else 1
            problems.append(wrong(at, str(e), value, origin, likely))
            continue
        if type(read) is not type(value):
            put(parser, "::".join(map(str, at)), read)
    return problems


def _at(config: Any, at: Place) -> Iterator[Any]:
    """The value at a place, if there is one."""
    for part in at:
        if isinstance(config, list) and str(part).isdigit() and int(part) < len(config):
            config = config[int(part)]
        elif isinstance(config, Mapping) and part in config:
            config = config[part]
        else:
            return
    yield config


def is_expression(value: Any) -> bool:
    """Whether MONAI evaluates or looks up a value."""
    return isinstance(value, str) and _EXPRESSION.match(value) is not None


def put(parser: ConfigParser, id: str, value: Any) -> None:
    """Set a value of a config that is being evaluated, which ``parser[id] = value`` would forget."""
    resolver, parts = parser.ref_resolver, id.split("::")
    _set(parser.get(""), parts, value)
    for n in range(1, len(parts) + 1):
        above = "::".join(parts[:n])
        resolver.remove_resolved_content(above)
        if (item := resolver.items.get(above)) is None:
            continue
        if n == len(parts):
            item.update_config(value)
        else:
            _set(item.get_config(), parts[n:], value)


def _set(config: Any, parts: list[str], value: Any) -> None:
    for part in parts[:-1]:
        config = config[int(part) if isinstance(config, list) else part]
    config[int(parts[-1]) if isinstance(config, list) else parts[-1]] = value


def _reader(kinds: set[Any]) -> Any:
    if kinds == {bool}:
        return true_or_false
    if kinds == {int}:
        return whole_number
    return number if kinds <= {int, float} else None


def _looks_like_a_switch(at: Place, value: Any) -> bool:
    """A value that the bundle's files do not have: an argument that somebody adds to a component."""
    word = isinstance(value, str) and value.lower() in _SWITCHES
    return at[-1] == "_disabled_" or (word and at[0] not in _NAMES)
