"""A class: its name and code, and what a site declares that other sites call it.

Two sites mean the same class if the codes agree, or, where one of them has no code, if the names agree once
their spelling is folded, see ``class_names``. A site may declare synonyms for its own classes, and other
sites' classes that it merges into one of them.
"""

from __future__ import annotations

import unicodedata
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from clinical_qkt.core.values import Sent
from clinical_qkt.data.class_names import LONGEST, fold, name_problem

How = Literal["code", "name", "synonym", "merged"]
"""By what a class of another site is one of ours; ``merged``: as a part of it."""


def _named(value: Any) -> Any:
    if problem := name_problem(value):
        raise ValueError(problem)
    return value


Name = Annotated[str, BeforeValidator(_named), Field(min_length=1, max_length=LONGEST)]
"""What a class may be called; whatever else is given is refused in a sentence."""


class ClassLabel(Sent):
    """A class: its name and, optionally, its code (``system`` such as ``http://snomed.info/sct``)."""

    name: Name
    """As people write it, with a letter or digit at least."""
    system: str | None = Field(default=None, max_length=200)
    """Where the code is from; null without a code."""
    code: str | None = Field(default=None, max_length=100)
    """By which other sites know the class whatever they call it; null without a system."""

    @model_validator(mode="before")
    @classmethod
    def _plain_name(cls, value: Any) -> Any:
        return value if isinstance(value, dict | ClassLabel) else {"name": value}

    @model_validator(mode="after")
    def _code_needs_system(self) -> ClassLabel:
        if (self.system is None) != (self.code is None):
            raise ValueError("a code needs its system, and a system its code")
        if any(unicodedata.category(c) in ("Cc", "Cs") for c in f"{self.system}{self.code}"):
            raise ValueError("a class cannot have control characters in its code")
        return self

    @property
    def plain(self) -> ClassLabel:
        """Name and code alone, as they may leave the site."""
        return self

    @property
    def meanings(self) -> tuple[ClassLabel, ...]:
        """Everything that this class stands for, as plain labels."""
        return (self,)

    def match(self, other: ClassLabel) -> How | None:
        """By what another site's class is this one: by code where both have one of the same system.

        Only what this class declares counts, nothing that the other one does.
        """
        if _two_codes(self, other):
            return "code" if self.code == other.code else None
        return "name" if fold(self.name) == fold(other.name) else None

    def means(self, other: ClassLabel) -> bool:
        """Whether another site's class is this one, or a part of it."""
        return self.match(other) is not None

    def __str__(self) -> str:
        return f"'{self.name}'" + (f" ({self.system} {self.code})" if self.code else "")


class SiteClass(ClassLabel):
    """A class of a site's own list, with what the site declares about other sites' lists."""

    synonyms: tuple[Name, ...] = Field((), max_length=100)
    """Other names of the same class."""
    merges: tuple[ClassLabel, ...] = Field((), max_length=100)
    """Classes of other sites that are parts of this one."""

    @field_validator("synonyms", "merges", mode="before")
    @classmethod
    def _list(cls, value: Any) -> Any:
        if not isinstance(value, list | tuple):
            raise ValueError(f"has to be a list, e.g. [{value}]")
        return value

    @model_validator(mode="after")
    def _nothing_twice(self) -> SiteClass:
        named = [ClassLabel(name=n) for n in (self.name, *self.synonyms)]
        declared = [*named, *self.merges]
        for i, a in enumerate(declared):
            if any(a.means(b) for b in declared[i + 1 :]) or (i >= len(named) and self.plain.means(a)):
                raise ValueError(f"'{self.name}' stands for '{a.name}' in two ways; declare it once")
        return self

    @property
    def plain(self) -> ClassLabel:
        return ClassLabel(name=self.name, system=self.system, code=self.code)

    @property
    def itself(self) -> tuple[ClassLabel, ...]:
        """The class under each of its names, without its parts."""
        names = (self.name, *self.synonyms)
        return tuple(ClassLabel(name=n, system=self.system, code=self.code) for n in names)

    @property
    def meanings(self) -> tuple[ClassLabel, ...]:
        return (*self.itself, *self.merges)

    def match(self, other: ClassLabel) -> How | None:
        itself = super().match(other)
        if itself:
            return itself
        if not _two_codes(self, other) and fold(other.name) in map(fold, self.synonyms):
            return "synonym"
        return "merged" if any(part.means(other) for part in self.merges) else None


def _two_codes(a: ClassLabel, b: ClassLabel) -> bool:
    """Whether codes decide: both have one of the same system."""
    return bool(a.code and b.code and a.system == b.system)
