"""Where an image's label comes from: its folder, a table, an attribute of its DICOM header, a datalist."""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Protocol

from pydicom import Dataset
from pydicom.datadict import tag_for_keyword

from clinical_qkt.data.formats import ImageRefused
from clinical_qkt.data.headers import text
from clinical_qkt.errors import InputError
from clinical_qkt.prepare.identifiers import KEYWORDS

WHERE = "--labels"


@dataclass(frozen=True)
class Label:
    """What is known of an image from outside its pixels.

    Attributes:
        name: of the class.
        patient: whom the image shows, as the table says; empty where it does not. Stays in memory.
    """

    name: str
    patient: str = ""


class Labelling(Protocol):
    """A source of labels."""

    def label(self, file: PurePath, header: Dataset | None) -> Label:
        """The label of one image.

        Args:
            file: its path relative to the source.
            header: where it is a DICOM file.

        Raises:
            ImageRefused: it has none.
        """
        ...


class FolderLabels:
    """The name of the sub-folder directly below the source."""

    def label(self, file: PurePath, header: Dataset | None) -> Label:
        if len(file.parts) < 2:
            raise ImageRefused("lies in no sub-folder, so it has no label")
        return Label(file.parts[0])


@dataclass
class AttributeLabels:
    """The value of a DICOM attribute, e.g. ``BodyPartExamined``."""

    keyword: str

    def __post_init__(self) -> None:
        if tag_for_keyword(self.keyword) is None:
            raise InputError(
                f"'{self.keyword}' is no keyword of a DICOM attribute",
                where=WHERE,
                fix="give 'folder', a CSV file, or a keyword such as BodyPartExamined or Modality",
            )
        if self.keyword in KEYWORDS:
            raise InputError(
                f"{self.keyword} can identify a patient, and labels leave the site with a model",
                where=WHERE,
                fix="write the labels into a CSV file",
            )

    def label(self, file: PurePath, header: Dataset | None) -> Label:
        if header is None:
            raise ImageRefused("is no DICOM file, so it has no attribute to take a label from")
        found = text(header, self.keyword)
        if not found:
            raise ImageRefused(f"has no label: {self.keyword} is empty")
        return Label(found)


@dataclass
class TableLabels:
    """A CSV file with the columns ``file`` or ``series``, ``label`` and, if wanted, ``patient``.

    Attributes:
        by: the column that says which image a row is about: ``file``, relative to the source, or ``series``,
            the SeriesInstanceUID of DICOM slices.
        rows: the label of each.
        used: which rows have met an image.
    """

    by: str
    rows: dict[str, Label]
    used: set[str] = field(default_factory=set)

    @classmethod
    def read(cls, path: Path, *, labelled: bool = True) -> TableLabels:
        """Read a table with commas or semicolons.

        Args:
            labelled: without it the table names patients, and need not name labels.

        Raises:
            InputError: names the row, and repeats nothing of it.
        """
        try:
            lines = path.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError):
            fix = "save it as CSV in UTF-8, and check the path"
            raise InputError("cannot be read", where=WHERE, fix=fix) from None
        separator = ";" if lines and lines[0].count(";") > lines[0].count(",") else ","
        table = csv.DictReader(lines, delimiter=separator)
        columns = {str(c).strip().lower(): str(c) for c in table.fieldnames or ()}
        by = next((c for c in ("file", "series", "seriesinstanceuid") if c in columns), None)
        needed = "label" if labelled else "patient"
        if by is None or needed not in columns:
            raise InputError(
                f"lacks the columns 'file' (or 'series') and '{needed}'",
                where=WHERE,
                fix="name them in the first line, e.g. file,label,patient",
            )
        rows: dict[str, Label] = {}
        for number, row in enumerate(table, start=2):
            cells = {c: (row.get(given) or "").strip() for c, given in columns.items()}
            key = PurePath(cells[by]).as_posix() if by == "file" else cells[by]
            label = Label(cells.get("label", ""), cells.get("patient", ""))
            if not cells[by] or not cells[needed]:
                fix = "fill it in, or delete the row"
                raise InputError("a cell is empty", where=f"{WHERE}: row {number}", fix=fix)
            if rows.setdefault(key, label) != label:
                raise InputError(
                    f"says another label or patient than an earlier row with the same {by}",
                    where=f"{WHERE}: row {number}",
                    fix="keep the right one",
                )
        return cls("file" if by == "file" else "series", rows)

    def label(self, file: PurePath, header: Dataset | None) -> Label:
        key = file.as_posix()
        if self.by == "series":
            key = text(header, "SeriesInstanceUID") if header is not None else ""
        if key not in self.rows:
            raise ImageRefused("has no row in the table of labels")
        self.used.add(key)
        return self.rows[key]

    def notes(self) -> list[str]:
        """What the user should know of the table."""
        unused = len(self.rows) - len(self.used)
        return [f"{unused} rows of the table of labels fit no image"] if unused else []


def labelling_of(given: str) -> Labelling:
    """What ``--labels`` asks for: ``folder``, a CSV file or a DICOM keyword.

    Raises:
        InputError: it is none of them.
    """
    if given == "folder":
        return FolderLabels()
    if given.lower().endswith(".csv"):
        return TableLabels.read(Path(given))
    return AttributeLabels(given)
