"""Where an image's label comes from: its folder, a table, an attribute of its DICOM header, a datalist."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Protocol

from pydicom import Dataset

from clinical_qkt.core.errors import InputError
from clinical_qkt.data.class_names import shown
from clinical_qkt.data.formats import ImageRefused
from clinical_qkt.data.headers import text
from clinical_qkt.data.words import patient_like
from clinical_qkt.prepare.attributes import refuse_attribute
from clinical_qkt.prepare.csv_table import Table, file_key, read_table
from clinical_qkt.prepare.groups import NEEDS_TABLE, groups_of
from clinical_qkt.prepare.groups import WHERE as GROUPS

WHERE = "--labels"
TABLES = (".csv", ".tsv", ".txt")
"""How the names of tables end."""


@dataclass(frozen=True)
class Label:
    """What is known of an image from outside its pixels.

    Attributes:
        name: of the class.
        patient: whom the image shows, as the table says; empty where it does not. Stays in memory.
        groups: columns and values by which results are told apart.
    """

    name: str
    patient: str = ""
    groups: tuple[tuple[str, str], ...] = ()


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
            raise ImageRefused(
                "lies in no sub-folder, so it has no label",
                fix="put the images of each class into a sub-folder of its name, or give --labels",
            )
        return Label(file.parts[0])


@dataclass
class AttributeLabels:
    """The value of a DICOM attribute, e.g. ``BodyPartExamined``."""

    keyword: str

    def __post_init__(self) -> None:
        refuse_attribute(self.keyword, WHERE)

    def label(self, file: PurePath, header: Dataset | None) -> Label:
        if header is None:
            raise ImageRefused("is no DICOM file, so it has no attribute to take a label from")
        found = text(header, self.keyword)
        if not found:
            raise ImageRefused(f"has no label: {self.keyword} is empty")
        if "\\" in found:  # which separates values
            raise ImageRefused(f"has no label: {self.keyword} holds several values")
        return Label(found)


@dataclass
class TableLabels:
    """A CSV file with the columns ``file`` or ``series``, ``label`` and, if wanted, ``patient``.

    Attributes:
        by: the column that says which image a row is about: ``file``, relative to the source, or ``series``,
            the SeriesInstanceUID of DICOM slices.
        rows: the label of each.
        whole: cells that held a whole number written as a decimal, by column.
        used: which rows have met an image.
    """

    by: str
    rows: dict[str, Label]
    whole: dict[str, int] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)

    @classmethod
    def read(cls, path: Path, *, labelled: bool = True, groups: Sequence[str] = ()) -> TableLabels:
        """Read a table, see ``csv_table``.

        Args:
            labelled: without it the table names patients, and need not name labels.
            groups: further columns to read.

        Raises:
            InputError: names the row, and repeats nothing of it.
        """
        table = read_table(path, WHERE)
        by = _column_of_keys(table)
        needed = "label" if labelled else "patient"
        if by is None or needed not in table.columns:
            raise InputError(
                f"lacks the columns 'file' (or 'series') and '{needed}'",
                where=WHERE,
                fix="name them in the first line, e.g. file,label,patient, with commas, semicolons or tabs",
            )
        other = patient_like(table.columns) if "patient" not in table.columns else None
        if other:
            fix = "call it patient; or delete it, if it names no patients"
            raise InputError(f"has a column {shown(other)}, which is not read", where=WHERE, fix=fix)
        rows: dict[str, Label] = {}
        labels = [
            Label(table.word(i, "label"), table.word(i, "patient"), told)
            for i, told in enumerate(groups_of(table, groups))
        ]
        table.refuse_two_spellings("patient", [label.patient for label in labels])
        for i, ((_, cells), label) in enumerate(zip(table.rows, labels, strict=True)):
            if not cells[by] or not cells[needed]:
                raise table.error(i, "a cell is empty", "fill it in, or delete the row")
            key = file_key(cells[by]) if by == "file" else cells[by]
            if rows.setdefault(key, label) != label:
                problem = (
                    f"says another label or patient, or other groups, than an earlier row with the same {by}"
                )
                raise table.error(i, problem, "keep the right one")
        return cls("file" if by == "file" else "series", rows, dict(table.whole))

    def label(self, file: PurePath, header: Dataset | None) -> Label:
        key = file_key(file.as_posix())
        if self.by == "series":
            key = text(header, "SeriesInstanceUID") if header is not None else ""
        if key not in self.rows:
            fix = "the column 'file' holds paths from the given folder on, with suffix, e.g. ward/01.png"
            raise ImageRefused("has no row in the table of labels", fix=fix if self.by == "file" else "")
        self.used.add(key)
        return self.rows[key]

    def notes(self) -> list[str]:
        """What the user should know of the table."""
        unused = len(self.rows) - len(self.used)
        told = [f"{unused} rows of the table of labels fit no image"] if unused else []
        return told + [
            f"{count} cells of the column '{column}' are written as 1.0 and were taken as whole numbers: 1"
            for column, count in self.whole.items()
        ]


def _column_of_keys(table: Table) -> str | None:
    """The column that says which image a row is about.

    Raises:
        InputError: two columns do.
    """
    found = [c for c in ("file", "series", "seriesinstanceuid") if c in table.columns]
    if found == ["series", "seriesinstanceuid"]:
        raise InputError("has two columns of series", where=WHERE, fix="keep the right one")
    return found[0] if found else None


def labelling_of(given: str, groups: Sequence[str] = ()) -> Labelling:
    """What ``--labels`` asks for: ``folder``, a CSV file or a DICOM keyword.

    Args:
        groups: further columns, which only a table has.

    Raises:
        InputError: it is none of them.
    """
    if groups and not given.lower().endswith(TABLES):
        raise InputError(NEEDS_TABLE, where=GROUPS, fix="give --labels TABLE.csv, or leave it out")
    if given == "folder":
        return FolderLabels()
    if given.lower().endswith(TABLES):
        return TableLabels.read(Path(given), groups=groups)
    if Path(given).is_file():
        fix = "save it as 'CSV UTF-8', with a name that ends in .csv"
        raise InputError("is a file, but no table with commas, semicolons or tabs", where=WHERE, fix=fix)
    return AttributeLabels(given)
