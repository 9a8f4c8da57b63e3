"""What pydantic finds wrong with a section that a person wrote, as this project's error.

Every problem is told with its key, what was given and the form that works; no key of a class or pseudonym is
quoted, since it could be a person's name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from clinical_qkt.core.errors import InputError, likeliest, one_of
from clinical_qkt.core.values import NOT_A_NUMBER, NOT_A_SWITCH, NOT_WHOLE, plain_type, read_value

Place = tuple[str | int, ...]
"""Of a value in nested sections, as pydantic's ``loc``."""
COMMAND_LINE = "the command line"
_LONGEST = 60
"""Characters of a value that an error shows."""
_UNSHOWN = {"site", "classes", "query", "trusted_keys", "may_ask", "mlflow"}
"""Keys whose values may name a person or hold a password."""
_WORDS = {
    "missing": "is missing",
    "greater_than": "must be above {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be below {lt}",
    "less_than_equal": "must be at most {le}",
    "finite_number": "must be finite",
    "list_type": "is no list",
    "tuple_type": "is no list",
    "string_type": "is no text",
    "path_type": "is no path",
    "dict_type": "is no section of keys and values",
    "model_type": "is no section of keys and values",
    "literal_error": "must be {expected}",
    "too_short": "needs at least {min_length} entries, not {actual_length}",
    "too_long": "takes at most {max_length} entries, not {actual_length}",
    "string_too_long": "takes at most {max_length} characters",
    "string_too_short": "needs at least {min_length} characters",
    "string_pattern_mismatch": "takes 1 to 64 letters, digits and _ . -, the first one a letter or digit",
}
_OF_TYPE = {NOT_A_SWITCH, NOT_WHOLE, NOT_A_NUMBER, "list_type", "string_type", "literal_error"}
"""Kinds of errors for which a value that would do can be proposed."""


@dataclass(frozen=True)
class Origin:
    """Where the values of a config were written, as far as that can be known.

    Attributes:
        default: what is named if it cannot.
        overrides: keys on the command line, parts separated by ``::``.
        files: the site's files, each with what it says.
    """

    default: str
    overrides: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def override(self, at: Place) -> str | None:
        """The key on the command line that set a value, or the section that it is in; None if none did."""
        ids = ["::".join(map(str, at[:n])) for n in range(len(at), 0, -1)]
        return next((i for i in ids if i in self.overrides), None)

    def where(self, at: Place) -> str:
        """The file that set a value, or the command line."""
        if self.override(at) is not None:
            return COMMAND_LINE
        ids = {"::".join(map(str, at[:n])) for n in range(len(at), 0, -1)}
        return next((name for name, said in self.files.items() if ids & set(said)), self.default)


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        at: its place; empty for what is wrong with the whole.
        what: is wrong, with the value.
        fix: what to write instead; empty if that is in ``what``.
    """

    at: Place
    what: str
    fix: str = ""


def refused(
    error: ValidationError, model: type[BaseModel], origin: Origin, *, fix: str, inside: Place = ()
) -> InputError:
    """All that is wrong with a section, as one error.

    Args:
        model: that was to be read.
        fix: what is to be corrected if it is a file; on the command line the form that works is told.
        inside: which section of the config it is.
    """
    return refusal([_problem(e, model, origin, inside) for e in error.errors()], origin, fix=fix)


def sentences(error: ValidationError, shown: Callable[[Any], str] = str) -> list[str]:
    """What is wrong with what another site or another program wrote, a sentence for each thing.

    No value is quoted: nothing is known of it.

    Args:
        shown: makes a key, or what is wrong with it, fit to be shown.

    >>> class Dose(BaseModel):
    ...     grams: float
    >>> try:
    ...     Dose.model_validate({})
    ... except ValidationError as e:
    ...     print(sentences(e))
    ['grams: is missing']
    """
    return [_sentence(e, shown) for e in error.errors(include_url=False, include_input=False)]


def _sentence(error: Any, shown: Callable[[Any], str]) -> str:
    at, missing = ".".join(shown(part) for part in error["loc"]), error["type"] == "missing"
    what = "is missing" if missing else shown(error["msg"].removeprefix("Value error, "))
    return f"{at}: {what}" if at else what


def refusal(problems: Sequence[Problem], origin: Origin, *, fix: str) -> InputError:
    """One error for one problem or many."""
    places = {origin.where(p.at) for p in problems}
    where = places.pop() if len(places) == 1 else origin.default
    fixes = dict.fromkeys(p.fix for p in problems if p.fix)
    if where != COMMAND_LINE or not fixes:
        fixes[f"correct that on {where}" if where == COMMAND_LINE else f"correct {fix}"] = None
    return InputError("; ".join(_told(p, origin) for p in problems), where=where, fix="; ".join(fixes))


def wrong(at: Place, what: str, value: Any, origin: Origin, instead: Any) -> Problem:
    """A problem with one value, and the form that works where it was written.

    Args:
        instead: a value that would do, or several.
    """
    several = instead if isinstance(instead, tuple) else (instead,)
    forms = " or ".join(_form(at, v, origin) for v in several)
    like = "write, for example, " if isinstance(instead, float | int) else "write "
    return Problem(at, _given(at, what, value), like + forms)


def shown(value: Any) -> str:
    """A value for people, shortened."""
    text = _yaml(value) if isinstance(value, bool | None) else repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _problem(error: Any, model: type[BaseModel], origin: Origin, inside: Place) -> Problem:
    loc, kind = tuple(error["loc"]), error["type"]
    at = (*inside, *loc)
    if kind == "extra_forbidden":
        return Problem(at, _unknown(model, loc))
    if error["input"] is None and kind != NOT_A_SWITCH:
        return Problem(at, "is missing")
    what, value = _words(error), error["input"]
    if isinstance(value, Mapping | BaseModel) or not loc:
        key, _, rest = what.partition(": ")
        return Problem((*at, key), rest) if key in _keys(model, loc) else Problem(at, what)
    fitting = _fitting(model, loc, value) if kind in _OF_TYPE else None
    if fitting is None:
        return Problem(at, _given(at, what, value))
    if isinstance(loc[-1], int):
        return Problem(at, _given(at, what, value), f"write {_yaml(fitting)} in its place")
    return wrong(at, what, value, origin, fitting)


def _given(at: Place, what: str, value: Any) -> str:
    return what if _UNSHOWN & set(at) else f"{what} (given: {shown(value)})"


def _words(error: Any) -> str:
    told = _WORDS.get(error["type"])
    numbers = {k: f"{v:g}" if isinstance(v, float) else v for k, v in error.get("ctx", {}).items()}
    return told.format(**numbers) if told else error["msg"].removeprefix("Value error, ")


def _told(problem: Problem, origin: Origin) -> str:
    override = origin.override(problem.at)
    if override is None:
        key = ".".join(map(str, problem.at))
    else:
        key = f"--{override}" + "".join(f".{p}" for p in problem.at[len(override.split("::")) :])
    return f"{key}: {problem.what}" if key else problem.what


def _form(at: Place, value: Any, origin: Origin) -> str:
    """How a value is written where the wrong one was."""
    override = origin.override(at)
    if override is None:
        return f"'{at[-1]}: {_yaml(value)}'"
    return f"--{override} {_shell(value)}"


def _shell(value: Any) -> str:
    """A value on a command line, in quotes where shell or launcher would take it for something else."""
    if isinstance(value, bool):
        return _yaml(value)
    if isinstance(value, list):
        return '"{}"'.format(repr(value).replace(", ", ","))
    if isinstance(value, str) and (read_value(value) != value or len(value.split()) != 1):
        return f'"{value!r}"'
    return str(value)


def _yaml(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True, allow_unicode=True).removesuffix("...\n").strip()


def _unknown(model: type[BaseModel], loc: Place) -> str:
    """A key that was removed, with what took its place; of any other the likeliest right one."""
    removed = getattr(_annotation(model, loc[:-1]), "REMOVED", {})
    if loc[-1] in removed:
        return f"was removed: {removed[loc[-1]]}"
    return f"is an unknown key; {one_of(str(loc[-1]), _keys(model, loc[:-1]))}"


def _keys(model: Any, loc: Place) -> list[str]:
    """The keys of a section."""
    section = _annotation(model, loc)
    return list(section.model_fields) if hasattr(section, "model_fields") else []


def _annotation(model: Any, loc: Place) -> Any:
    """The type of a value in nested sections; None if the place is in none."""
    for part in loc:
        model = plain_type(model)
        if isinstance(part, int):
            model = (get_args(model) or (None,))[0]
        elif hasattr(model, "model_fields") and part in model.model_fields:
            model = model.model_fields[part].annotation
        else:
            return None
    return plain_type(model)


def _default(model: type[BaseModel], loc: Place) -> Any:
    section = _annotation(model, loc[:-1])
    found = getattr(section, "model_fields", {}).get(loc[-1])
    return None if found is None or found.is_required() else found.get_default()


def _fitting(model: type[BaseModel], loc: Place, value: Any) -> Any:
    """A value like the wrong one that would do, several, or None where nothing can be proposed."""
    kind, default = _annotation(model, loc), _default(model, loc)
    if kind is bool:
        return (True, False)
    if get_origin(kind) is list and not isinstance(value, list | tuple):
        return _listed(get_args(kind)[0], value, default)
    if get_origin(kind) is Literal:
        return likeliest(str(value), list(get_args(kind))) or None
    if kind is str and isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return default if kind in (int, float) and default is not None else None


def _listed(entry: Any, value: Any, default: Any) -> list[Any] | None:
    """A list of what was given without one."""
    if plain_type(entry) in (int, float):
        value = read_value(value.strip("'\" ")) if isinstance(value, str) else value
        if isinstance(value, list | tuple):
            return list(value)
        if not isinstance(value, int | float) or isinstance(value, bool):
            return default or None
        return [value] * len(default or [None])
    parts: Iterator[str] = (p.strip(" '\"") for p in str(value).strip("[]() ").split(","))
    return [p for p in parts if p] or None
