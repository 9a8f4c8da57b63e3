"""Sub-types of a data set's classes, and hospitals of which some list these and others the whole classes.

What a hospital of the latter kind is told by one of the former it has to declare: ``merges`` of its own
classes and of those that it asks for; what the former answers for, ``wholes``.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clinical_qkt.core.errors import InputError
from clinical_qkt.data.label_space import ClassLabel, LabelSpace, SiteClass, fold
from clinical_qkt.data.sources import Source

FILE, COLUMNS = "labels.csv", ("image", "label", "subtype")


@dataclass(frozen=True)
class SubTypes:
    """Which sub-types there are, and which of them each image shows.

    Attributes:
        classes: of the data.
        of_class: names of sub-types by class, for classes that have several.
        shown: ``(N,)``, of each image its sub-type, or its class where it has none or none is known; a place
            in ``names``.
    """

    classes: LabelSpace
    of_class: dict[int, list[str]]
    shown: NDArray[np.int64]

    @cached_property
    def names(self) -> list[str]:
        """The classes', then the sub-types'."""
        return [*self.classes.names, *(name for names in self.of_class.values() for name in names)]

    def finer(self, classes: Sequence[int]) -> list[ClassLabel]:
        """Classes as a hospital lists them that tells sub-types apart."""
        return [ClassLabel(name=n) for c in classes for n in self.of_class.get(c, [self.classes[c].name])]

    def coarser(self, classes: Sequence[int]) -> list[SiteClass]:
        """The same at one that does not, and declares them."""
        return [self._whole(c) for c in classes]

    def wholes(self, classes: Sequence[int]) -> list[SiteClass]:
        """What the former declares of the classes of which it has the sub-types."""
        return [self._whole(c) for c in classes if c in self.of_class]

    def _whole(self, place: int) -> SiteClass:
        parts = tuple(ClassLabel(name=n) for n in self.of_class.get(place, ()))
        return SiteClass(name=self.classes[place].name, merges=parts)


def read_sub_types(folder: Path, source: Source) -> SubTypes:
    """From ``labels.csv`` in the data's folder: ``image`` (a path within it), ``label``, ``subtype``.

    Args:
        source: the folder's images, as ``sources.from_folder`` gives them.

    Raises:
        InputError: the file is not there, or tells something else than the folder; or no class has several
            sub-types.
    """
    path, rows = folder / FILE, _rows(folder / FILE)
    told: list[str] = []
    for image, label in zip(source.images, source.labels, strict=True):
        row = rows.get(Path(image).relative_to(folder).as_posix())
        name = source.classes.names[int(label)]
        if row is None or fold(row["label"]) != fold(name):
            raise _wrong(path, f"tells no '{name}' of {Path(image).name}")
        told.append(row["subtype"])
    found = [
        sorted({told[i] for i in np.flatnonzero(source.labels == c)} - {""})
        for c in range(len(source.classes))
    ]
    of_class = {c: names for c, names in enumerate(found) if len(names) > 1}
    if not of_class:
        raise _wrong(path, "has no class with several sub-types")
    LabelSpace([*source.classes, *(n for names in of_class.values() for n in names)], where=str(path))
    at = {
        (c, n): len(source.classes) + k
        for k, (c, n) in enumerate((c, n) for c in of_class for n in of_class[c])
    }
    shown = [at.get((int(c), name), int(c)) for c, name in zip(source.labels, told, strict=True)]
    return SubTypes(source.classes, of_class, np.array(shown))


def _rows(path: Path) -> dict[str, dict[str, str]]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as e:
        raise _wrong(path, f"cannot be read ({type(e).__name__})") from None
    if not rows or any(row.get(name) is None for row in rows for name in COLUMNS):
        raise _wrong(path, f"has not the columns {', '.join(COLUMNS)}")
    return {row["image"]: row for row in rows}


def _wrong(path: Path, problem: str) -> InputError:
    return InputError(
        problem, where=str(path), fix="'label_lists: finer' needs a folder of pictures with such a file"
    )
