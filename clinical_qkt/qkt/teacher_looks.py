"""Teachers see the student's images in the look of their own training images.

A teacher's card tells how the images looked that it was trained on, class by class. The student's images of
classes that both know tell how its own look beside them, prepared as the teacher's card asks. Where the two
are not alike, the teacher's input contract gets the map from one to the other, so that whatever is made of
the teacher brings images to its look by itself. The package stays as it was sent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from clinical_qkt.data.inputs import InputContract, converted
from clinical_qkt.data.label_space import LabelSpace
from clinical_qkt.data.look_shared import ClassLook, Compared, Looks, compared, distance, looks_of, spread_of
from clinical_qkt.qkt.student import StudentImages
from clinical_qkt.qkt.teachers import Teacher, all_classes
from clinical_qkt.query.looks import FEWEST, in_look, numbers_of
from clinical_qkt.training.inference import Each, labels_of

Measured = tuple[Tensor, list[str], list[str] | None]
"""Of the student's images: numbers ``(N, L)``, see ``data.look.measured``, class and patient of each."""


@dataclass(frozen=True, eq=False)
class TeacherLook:
    """How the student's images look beside those that a teacher was trained on.

    Attributes:
        compared: None: the teacher tells no look, or none that could be compared.
        mapped: whether the teacher sees the student's images in its own look.
        left: of a mapped one the distance that is left, in the same units; None where no class is shared.
        apart: of each shared class, by how much it looks otherwise than all of them do, in the same units.
    """

    compared: Compared | None = None
    mapped: bool = False
    left: float | None = None
    apart: dict[str, float] | None = None


class OwnLooks:
    """Looks of a student's training images as contracts ask for them, measured once for each.

    Args:
        labels: the names of their labels.
        own: how they are prepared for the student's own model.
    """

    def __init__(self, images: StudentImages, labels: LabelSpace, own: InputContract) -> None:
        self.images, self.names, self.own = images, labels.names, own
        self.kept: dict[str, Measured] = {}

    def __call__(self, given: InputContract) -> Measured | None:
        """None: they cannot be prepared so; whoever uses the teacher refuses it."""
        if given.obstacle(self.own):
            return None
        key = given.model_dump_json()
        if key not in self.kept:
            self.kept[key] = self._measured(given)
        return self.kept[key]

    def _measured(self, given: InputContract) -> Measured:
        """Of images in another look too, which need not be prepared anew for it."""
        shown, plain = self.images.prepared("training", given.plain), given.plain

        def seen(_: int, item: dict[str, Any]) -> dict[str, Any]:
            return {"image": converted(torch.as_tensor(item["image"])[None], plain, given)[0]}

        whose = self.images.patients("training")
        people = None if whose is None else [str(patient) for patient in whose.tolist()]
        classes = [self.names[label] for label in labels_of(shown).tolist()]
        return numbers_of(Each(shown, seen), given), classes, people


def in_own_looks(
    teachers: Sequence[Teacher],
    own: Callable[[InputContract], Measured | None],
    labels: LabelSpace,
    harmonise: bool = True,
) -> list[Teacher]:
    """Every teacher as ``in_own_look`` gives it; each is one of the others for all the rest."""
    everyone = all_classes(labels, teachers)
    told = [(teacher, told_by(teacher, everyone)) for teacher in teachers]

    def others(of: Teacher) -> list[Looks]:
        """Looks that are measured alike."""
        expected = of.model.card.input.plain
        return [looks for t, looks in told if t is not of and t.model.card.input.plain == expected]

    return [in_own_look(t, own, looks, others(t), harmonise) for t, looks in told]


def in_own_look(
    teacher: Teacher,
    own: Callable[[InputContract], Measured | None],
    told: Looks,
    others: Sequence[Looks] = (),
    harmonise: bool = True,
) -> Teacher:
    """A teacher that sees the student's images in the look of its own, where theirs is another.

    Args:
        own: the student's training images as a contract asks for them.
        told: the teacher's looks, by the names that the student gives its classes.
        others: further teachers', measured alike, for one that shares no class with the student.
        harmonise: False: looks are compared, and nothing is changed.

    Returns:
        The teacher with ``look``; where it is not alike, with another input contract on its card in memory.
    """
    given = teacher.model.card.input.plain
    measured = own(given) if told else None
    if measured is None:
        return replace(teacher, look=TeacherLook())
    spread, mine = spread_of(*measured[:2]), _enough(looks_of(*measured))
    found = compared(mine, told, spread, [o for o in others if o])
    if found is None or found.alike or not harmonise:
        return replace(teacher, look=TeacherLook(found, apart=_apart(mine, told, spread)))
    seen = in_look(given, found)
    again = own(seen)
    assert again is not None
    brought = _enough(looks_of(*again))
    after = compared(brought, told, spread) if found.shared else None
    card = teacher.model.card.model_copy(update={"input": seen})
    look = TeacherLook(found, True, after.distance if after else None, _apart(brought, told, spread))
    return replace(teacher, model=replace(teacher.model, card=card), look=look)


def told_by(teacher: Teacher, everyone: LabelSpace) -> Looks:
    """A teacher's looks of the classes that it knows, under the names of ``teachers.all_classes``.

    Parts of a class that the student merges count as one, by how many patients each is made of.
    """
    card = teacher.model.card
    if card.looks is None:
        return {}
    looks, labels = card.looks.looks, card.labels
    parts: dict[str, list[ClassLook]] = {}
    for row, column in teacher.known_rows(everyone).items():
        if found := looks.get(labels[row].name):
            parts.setdefault(everyone[column].name, []).append(found)
    return {name: _merged(found) for name, found in parts.items()}


def _merged(parts: Sequence[ClassLook]) -> ClassLook:
    count = sum(part.count for part in parts)
    numbers = torch.stack([part.numbers * (part.count / count) for part in parts]).sum(0)
    return ClassLook(count, numbers)


def _enough(looks: Looks) -> Looks:
    return {name: found for name, found in looks.items() if found.count >= FEWEST}


def _apart(seen: Looks, wanted: Looks, spread: Tensor) -> dict[str, float]:
    """By how much each class that both know differs otherwise than the one in the middle; two or more."""
    shared = sorted(set(seen) & set(wanted))
    if len(shared) < 2:
        return {}
    off = torch.stack([seen[c].numbers - wanted[c].numbers for c in shared])
    middle = off.quantile(0.5, dim=0)
    return {c: distance(one, middle, spread) for c, one in zip(shared, off, strict=True)}
