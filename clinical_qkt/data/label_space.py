"""Label spaces, and their alignment between sites.

Classes are matched one by one, see ``classes``; here whole lists are. Whatever could be aligned in more than
one way is refused; nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Literal, overload

from pydantic import AfterValidator, ValidationError

from clinical_qkt.core.errors import InputError
from clinical_qkt.data.class_names import fold as fold
from clinical_qkt.data.class_names import shown
from clinical_qkt.data.classes import ClassLabel as ClassLabel
from clinical_qkt.data.classes import How
from clinical_qkt.data.classes import SiteClass as SiteClass

_NONE = ("no such class", "same name, other code")


class LabelSpace(Sequence[ClassLabel]):
    """An ordered list of classes; a class's position is its row in the model's head.

    Args:
        classes: names, mappings with ``name``, ``system``, ``code``, or ``ClassLabel``.
        where: the file and field that an error should name.

    Raises:
        InputError: if the list is empty, an entry cannot be a class, or two entries mean the same class or
            have a meaning in common.
    """

    def __init__(self, classes: Iterable[Any], *, where: str = "classes") -> None:
        self.classes = tuple(c if isinstance(c, ClassLabel) else class_of(c, where) for c in classes)
        if not self.classes:
            raise InputError("the list of classes is empty", where=where, fix="name at least one class")
        for i, a in enumerate(self.classes):
            for b in self.classes[i + 1 :]:
                if a.plain.means(b.plain):
                    raise InputError(
                        f"'{a.name}' and '{b.name}' are the same class",
                        where=where,
                        fix="keep one of the two, or give them different names or codes",
                    )
                common = next((m for m in a.meanings for n in b.meanings if m.means(n)), None)
                if common:
                    raise InputError(
                        f"'{a.name}' and '{b.name}' overlap: both mean '{common.name}'",
                        where=where,
                        fix="declare it under 'synonyms' or 'merges' of one class, and list it nowhere else",
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

    @property
    def plain(self) -> list[ClassLabel]:
        """Names and codes alone, as they may leave the site."""
        return [c.plain for c in self.classes]

    def find(self, label: ClassLabel | str, *, parts: bool = True) -> int | None:
        """The position of a class, or None.

        Args:
            parts: whether a class that is merged into one of this list is found as that one.

        Raises:
            InputError: it could be more than one class, or no class has such a name.
        """
        label = class_of(label, "classes") if isinstance(label, str) else label
        matches = {i: how for i, c in enumerate(self.classes) if (how := c.match(label))}
        found = [i for i, how in matches.items() if parts or how != "merged"]
        if len(found) > 1:
            raise InputError(
                f"{label} could be {' or '.join(str(self.classes[i]) for i in found)}",
                where="classes",
                fix="give the classes different names, or use codes everywhere",
            )
        return found[0] if found else None

    def places(self, label: ClassLabel) -> tuple[int, ...]:
        """The positions of the classes whose images show a class: one; several of a whole, see ``wholes``.

        Empty: this list has no such class. A mere part of one of its classes is none.

        Raises:
            InputError: it could be more than one class.
        """
        place = self.find(label, parts=False)
        return () if place is None else (place,)

    def names_of(self, places: Iterable[int]) -> list[str]:
        """What the classes at some positions are called."""
        return [self.classes[place].name for place in places]

    def extended(self, more: Iterable[Any], *, where: str = "query") -> LabelSpace:
        """This space with further classes at its end; the first rows stay what they were."""
        return LabelSpace([*self.classes, *more], where=where)


def class_of(given: Any, where: str) -> ClassLabel:
    """A class from its name or from a mapping with ``name``, ``system`` and ``code``.

    Args:
        where: the file and field that an error should name.

    Raises:
        InputError: it cannot be a class, with the reason in one sentence.
    """
    try:
        return ClassLabel.model_validate(given)
    except ValidationError as e:
        told = "; ".join(dict.fromkeys(_problem(p) for p in e.errors()))
        fix = "rename the class; names are words with 1 to 100 characters"
        raise InputError(told, where=where, fix=fix) from None


def _problem(error: Any) -> str:
    """One of pydantic's errors in words of our own."""
    key = ".".join(shown(part) for part in error["loc"])
    kind = error["type"]
    if kind == "missing":
        return f"a class lacks its {key}"
    if kind == "extra_forbidden":
        return f"a class has no key {key}; it has 'name', 'system' and 'code'"
    if kind == "value_error":
        return str(error["msg"]).removeprefix("Value error, ")
    wrong = {"string_type": "is no text", "string_too_long": "is too long"}
    return f"the {key} of a class {wrong.get(kind, 'is wrong')}"


def _distinct(classes: list[ClassLabel]) -> list[ClassLabel]:
    return LabelSpace(classes).plain if classes else []


DistinctClasses = Annotated[list[ClassLabel], AfterValidator(_distinct)]
"""Classes on a card: no two are the same, or the card is refused; and what a site declares stays there."""


@dataclass(frozen=True)
class Row:
    """What became of one class of another site's list.

    Attributes:
        source: its position there.
        targets: positions of our classes: one if aligned, several if it could be any of them; of
            ``same name, other code`` the one that it is not.
        how: a ``How``, or why it is not aligned.
    """

    source: int
    targets: tuple[int, ...]
    how: How | Literal["no such class", "same name, other code", "ambiguous"]

    @property
    def aligned(self) -> bool:
        return self.how in ("code", "name", "synonym", "merged")


@dataclass(frozen=True)
class Alignment:
    """The whole table: every class of another site's list against ours.

    Attributes:
        source: the other site's list.
        target: ours; its declarations count.
    """

    source: LabelSpace
    target: LabelSpace

    @property
    def columns(self) -> dict[int, int]:
        """``{source position: target position}`` of all that is aligned without doubt."""
        return {row.source: row.targets[0] for row in self.rows if row.aligned}

    @property
    def missing(self) -> list[int]:
        """The positions of our classes that no class of the other site may be."""
        meant = {j for row in self.rows if row.how not in _NONE for j in row.targets}
        return [j for j in range(len(self.target)) if j not in meant]

    @cached_property
    def rows(self) -> list[Row]:
        """One for each class of the source, in its order."""
        return [self._row(i) for i in range(len(self.source))]

    @cached_property
    def ambiguities(self) -> list[str]:
        """What could be aligned in more than one way, one sentence each."""
        found = []
        for i, label in enumerate(self.source):
            targets = [str(self.target[j]) for (a, j) in self._matches if a == i]
            if len(targets) > 1:
                found.append(f"{label} could be {' or '.join(targets)}")
        for j in self._doubled:
            sources = [str(self.source[i]) for (i, b) in self._matches if b == j]
            found.append(f"{' and '.join(sources)} could both be {self.target[j]}")
        return found

    @cached_property
    def _matches(self) -> dict[tuple[int, int], How]:
        pairs = ((i, j) for i in range(len(self.source)) for j in range(len(self.target)))
        found = ((i, j, self.target[j].match(self.source[i])) for i, j in pairs)
        return {(i, j): how for i, j, how in found if how}

    @cached_property
    def _doubled(self) -> list[int]:
        """Our classes that several of the other site's could be, but for different parts of a merged one."""
        doubled = []
        for j, target in enumerate(self.target):
            sources = [self.source[i] for (i, b) in self._matches if b == j]
            parts = target.merges if isinstance(target, SiteClass) else ()
            apart = all(how == "merged" for (_, b), how in self._matches.items() if b == j)
            apart = apart and all(sum(part.means(s) for s in sources) <= 1 for part in parts)
            if len(sources) > 1 and not apart:
                doubled.append(j)
        return doubled

    def _row(self, i: int) -> Row:
        targets = tuple(j for (a, j) in self._matches if a == i)
        if len(targets) > 1 or set(targets) & set(self._doubled):
            return Row(i, targets, "ambiguous")
        if targets:
            return Row(i, targets, self._matches[i, targets[0]])
        name = fold(self.source[i].name)
        alike = [j for j, c in enumerate(self.target) if name in [fold(m.name) for m in c.meanings]]
        # The names agree and yet nothing matched: so the codes differ.
        return Row(i, tuple(alike), "same name, other code" if alike else "no such class")


def align(source: LabelSpace, target: LabelSpace, *, where: str = "label alignment") -> dict[int, int]:
    """Which column of the source is which column of the target.

    Args:
        source: another site's label space.
        target: our label space.
        where: named by an error.

    Returns:
        ``{source position: target position}``; what has no partner is left out, never guessed. Several
        columns are the same only where the target declares that it merges them.

    Raises:
        InputError: a class could be aligned in more than one way.
    """
    table = Alignment(source, target)
    if table.ambiguities:
        raise InputError(
            table.ambiguities[0],
            where=where,
            fix="give the classes codes, or correct 'synonyms' and 'merges' in the site's YAML",
        )
    return table.columns
