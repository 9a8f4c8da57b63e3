"""The register of methods: each is one file with one decorated function, ``run(case, settings)``.

``case`` says what goes in and comes out. The settings' class is taken from the function's annotation, so
that a config is checked against it; mypy checks that the function takes a case and such settings.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from inspect import signature
from typing import Any, Generic, Literal, Protocol, TypeVar, cast, get_type_hints

from clinical_qkt.core.values import Strict
from clinical_qkt.research.methods.case import Case, Outcome

Family = Literal["ours", "fusion", "fine_tuning", "ensemble", "statistics", "candidates", "bound"]
"""What a method is held against: ``ours``: QKT; ``fusion``: distillation, averaging and amalgamation, many
models into one; ``fine_tuning``: one model from one; ``ensemble``: all models stay; ``statistics``: made of
the same class statistics as ours; ``candidates``: of what sites picked among candidates; ``bound``: what is
reached without others, or with their images."""

Settings = TypeVar("Settings", bound=Strict)
Run = Callable[[Case, Settings], Outcome]


@dataclass(frozen=True)
class Method(Generic[Settings]):
    """A method of the register.

    Attributes:
        name: in configs and results.
        settings: what a config may say of it.
        run: from a case to what the method came to.
    """

    name: str
    family: Family
    settings: type[Settings]
    run: Run[Settings]


METHODS: dict[str, Method[Any]] = {}
"""By name; filled by ``method`` as the files of this folder are imported."""


class Register(Protocol):
    """Takes a method's function up and gives it back."""

    def __call__(self, run: Run[Settings], /) -> Run[Settings]: ...


def method(name: str, *, family: Family) -> Register:
    """Decorates the function that is a method.

    Raises:
        ValueError: there is another method of that name.
        TypeError: the function does not take a case and settings that are ``Strict``.
    """

    def register(run: Run[Settings], /) -> Run[Settings]:
        if name in METHODS:
            raise ValueError(f"method '{name}' is in {METHODS[name].run.__module__} already")
        METHODS[name] = Method(name, family, _settings(run), run)
        return run

    return register


def family_of(name: str) -> Family | None:
    """Of a method that stands in results; None for one that is no longer here."""
    return METHODS[name].family if name in METHODS else None


def _settings(run: Run[Settings]) -> type[Settings]:
    hints = get_type_hints(run)
    given = [hints.get(p) for p in signature(run).parameters]
    if len(given) == 2 and given[0] is Case and isinstance(given[1], type) and issubclass(given[1], Strict):
        return cast(type[Settings], given[1])
    raise TypeError(f"{run.__module__}: a method is a function of a Case and of settings that are Strict")
