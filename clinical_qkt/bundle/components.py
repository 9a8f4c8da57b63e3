"""The components of a config, such as an optimiser: what a site adds to one is an argument that it takes."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping
from pydoc import locate
from typing import Any

from monai.bundle import ConfigComponent, ConfigParser

from clinical_qkt.bundle.literals import is_expression, leaves
from clinical_qkt.core.errors import InputError, one_of
from clinical_qkt.core.refusals import Place, Problem

TARGET = "_target_"
OURS = "clinical_qkt."


def require_ours(own: Mapping[str, Mapping[str, Any]]) -> None:
    """A copy of a bundle names nothing of this software that is not there.

    Args:
        own: what the bundle's config files say, by their names.

    Raises:
        InputError: it does, as one of another version may.
    """
    for name, content in own.items():
        for at, value in leaves(content):
            if at[-1] == TARGET and str(value).startswith(OURS) and locate(value) is None:
                raise InputError(
                    f"names {value}, which is not in this version of clinical-qkt",
                    where=f"the bundle's {name}.yaml",
                    fix="copy the bundle anew, and repeat in it what was changed in this copy",
                )


def strange_arguments(parser: ConfigParser, own: Iterable[Mapping[str, Any]]) -> list[Problem]:
    """What was added to components and could not be used; the bundle's own arguments are not looked at.

    Args:
        own: what the bundle's config files say.
    """
    known = {(at, str(value) if at[-1] == TARGET else "") for content in own for at, value in _said(content)}
    problems = []
    for at, config in _components(parser.get("")):
        if ((*at, TARGET), str(config[TARGET])) not in known and _callable(parser, config) is None:
            what = f"there is no component '{config[TARGET]}'"
            problems.append(Problem((*at, TARGET), what, "name a class of MONAI or torch, with its module"))
            continue
        for key in (
            k for k in config if ((*at, k), "") not in known and k not in ConfigComponent.non_arg_keys
        ):
            takes = _arguments(_callable(parser, config))
            if takes is not None and key not in takes:
                problems.append(Problem((*at, key), f"is an unknown key; {one_of(key, takes)}"))
    return problems


def _said(content: Mapping[str, Any]) -> Iterator[tuple[Place, Any]]:
    """Every place in a file's sections with its value; of sections within with none."""
    for at, value in leaves({key.lstrip("+"): value for key, value in content.items()}):
        yield at, value
        for n in range(1, len(at)):
            yield at[:n], None


def _components(config: Any, at: Place = ()) -> Iterator[tuple[Place, Mapping[str, Any]]]:
    if isinstance(config, Mapping):
        if isinstance(config.get(TARGET), str) and not is_expression(config[TARGET]):
            yield at, config
        for key, value in config.items():
            yield from _components(value, (*at, str(key)))
    elif isinstance(config, list):
        for i, value in enumerate(config):
            yield from _components(value, (*at, str(i)))


def _callable(parser: ConfigParser, config: Mapping[str, Any]) -> Any:
    name = ConfigComponent(config, locator=parser.locator).resolve_module_name()
    return locate(name) if isinstance(name, str) else name


def _arguments(target: Any) -> list[str] | None:
    """The names that a component takes; None if it takes any, or does not tell."""
    try:
        parameters = inspect.signature(target).parameters.values()
    except (TypeError, ValueError):
        return None
    return None if any(p.kind is p.VAR_KEYWORD for p in parameters) else [p.name for p in parameters]
