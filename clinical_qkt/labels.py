"""Label spaces, and their alignment between sites.

A class has a name and, where there is one, a code. Two sites mean the same class if the codes agree, or,
where one of them has no code, if the names agree once case, spaces, hyphens and underscores are folded.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Any, overload

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from clinical_qkt.errors import InputError


def fold(name: str) -> str:
    """The form in which names are compared.

    >>> fold("Immature_Granulocytes") == fold("immature  granulocytes")
    True
    """
    return re.sub(r"[\s_\-]+", " ", name).strip().casefold()


class ClassLabel(BaseModel):
    """A class: its name and, optionally, its code (``system`` such as ``http://snomed.info/sct``)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, max_length=100)
    system: str | None = Field(default=None, max_length=200)
    code: str | None = Field(default=None, max_length=100)

    @model_validator(mode="before")
    @classmethod
    def _plain_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _code_needs_system(self) -> ClassLabel:
        if not fold(self.name):
            raise ValueError("a class name needs at least one letter or digit")
        if (self.system is None) != (self.code is None):
            raise ValueError("a code needs its system, and a system its code")
        return self

    def means(self, other: ClassLabel) -> bool:
        """Whether both stand for the same class: by code where both have one of the same system."""
        if self.code and other.code and self.system == other.system:
            return self.code == other.code
        return fold(self.name) == fold(other.name)


class LabelSpace(Sequence[ClassLabel]):
    """An ordered list of classes; a class's position is its row in the model's head.

    Args:
        classes: names, mappings with ``name``, ``system``, ``code``, or ``ClassLabel``.
        where: the file and field that an error should name.

    Raises:
        InputError: if the list is empty or two entries mean the same class.
    """

    def __init__(self, classes: Iterable[Any], *, where: str = "classes") -> None:
        self.classes = tuple(
            c if isinstance(c, ClassLabel) else ClassLabel.model_validate(c) for c in classes
        )
        if not self.classes:
            raise InputError("the list of classes is empty", where=where, fix="name at least one class")
        for i, a in enumerate(self.classes):
            for b in self.classes[i + 1 :]:
                if a.means(b):
                    raise InputError(
                        f"'{a.name}' and '{b.name}' are the same class",
                        where=where,
                        fix="keep one of the two, or give them different names or codes",
                    )

    @overload
    def __getitem__(self, index: int) -> ClassLabel: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[ClassLabel]: ...
    def __getitem__(self, index: int | slice) -> ClassLabel | Sequence[ClassLabel]:
        return self.classes[index]

    def __len__(self) -> int:
        return len(self.classes)

    def __iter__(self) -> Iterator[ClassLabel]:
        return iter(self.classes)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LabelSpace) and self.classes == other.classes

    def __hash__(self) -> int:
        return hash(self.classes)

    def __repr__(self) -> str:
        return f"LabelSpace({self.names})"

    @property
    def names(self) -> list[str]:
        return [c.name for c in self.classes]

    def find(self, label: ClassLabel | str) -> int | None:
        """The position of a class, or None."""
        label = ClassLabel(name=label) if isinstance(label, str) else label
        return next((i for i, c in enumerate(self.classes) if c.means(label)), None)

    def extended(self, more: Iterable[Any], *, where: str = "query") -> LabelSpace:
        """This space with further classes at its end; the first rows stay what they were."""
        return LabelSpace([*self.classes, *more], where=where)


def _distinct(classes: list[ClassLabel]) -> list[ClassLabel]:
    LabelSpace(classes)
    return classes


DistinctClasses = Annotated[list[ClassLabel], AfterValidator(_distinct)]
"""Classes on a card, no two of which are the same; otherwise the card is refused."""


def align(source: LabelSpace, target: LabelSpace) -> dict[int, int]:
    """Which column of the source is which column of the target.

    Args:
        source: another site's label space.
        target: our label space.

    Returns:
        ``{source position: target position}`` for the classes that both have; what has no partner is left
        out, never guessed.

    Raises:
        InputError: if two source classes would mean the same target class, or the other way round.
    """
    pairs = [(i, j) for i, a in enumerate(source) for j, b in enumerate(target) if a.means(b)]
    for side, space in ((0, source), (1, target)):
        doubled = [k for k, n in Counter(p[side] for p in pairs).items() if n > 1]
        if doubled:
            raise InputError(
                f"'{space[doubled[0]].name}' could be more than one class of the other site",
                where="label alignment",
                fix="give the classes codes (system, code), so that they can be told apart",
            )
    return dict(pairs)
