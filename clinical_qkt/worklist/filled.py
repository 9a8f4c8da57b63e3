"""Reading a filled table back: every row of the list once, every label a word of the list."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from clinical_qkt.core.errors import InputError
from clinical_qkt.core.files import sha256
from clinical_qkt.data.label_space import LabelSpace
from clinical_qkt.prepare.csv_table import Table, file_key, read_table
from clinical_qkt.worklist import words
from clinical_qkt.worklist.listing import COLUMNS, Row, Worklist

SHOWN = 12
"""Numbers that an error names."""
AGAIN = "copy the labels into the table as it was written, one row for each number"


def read_labels(path: Path, listed: Worklist) -> dict[int, str]:
    """What was written beside each number.

    Args:
        path: the filled table, with commas, semicolons or tabs, as spreadsheets save it.
        listed: the list that it was made for.

    Returns:
        ``{number: class, "none of these" or "not usable"}``, for every number of the list.

    Raises:
        InputError: a row is missing, doubled or for another image; a label is missing or unknown.
    """
    table = read_table(path, path.name)
    for column in COLUMNS:
        if column not in table.columns:
            raise InputError(f"has no column '{column}'", where=path.name, fix=AGAIN)
    rows = _by_number(table, listed)
    classes = LabelSpace(listed.classes)
    _refuse_open([n for n, row in rows.items() if not table.rows[row][1]["label"]], path.name, len(rows))
    return {
        number: words.read(table.word(row, "label"), classes, f"{path.name}: number {number}: label")
        for number, row in rows.items()
    }


def require_images(archive: Path, listed: Worklist) -> None:
    """The images of the list are those that were drawn.

    Raises:
        InputError: one is missing, or its bytes are others.
    """
    for what, wrong in (
        ("is not there", [r for r in listed.rows if not (archive / r.file).is_file()]),
        ("has changed since the list was drawn", [r for r in listed.rows if _changed(archive / r.file, r)]),
    ):
        if wrong:
            numbers = _numbers([r.number for r in wrong])
            raise InputError(
                f"the image of {numbers} {what}",
                where="--images",
                fix="give the archive as it was when the list was drawn",
            )


def _changed(path: Path, row: Row) -> bool:
    return path.is_file() and sha256(path) != row.sha256


def _by_number(table: Table, listed: Worklist) -> dict[int, int]:
    """Each number's row of the table, in the list's order."""
    files = {row.number: file_key(row.file) for row in listed.rows}
    found: dict[int, int] = {}
    for i, (_, cells) in enumerate(table.rows):
        word = table.word(i, "number")
        number = int(word) if word.isdecimal() else 0
        if number not in files:
            raise table.error(i, "has a number that is not on the list", AGAIN)
        if number in found:
            raise table.error(i, f"has number {number} a second time", "keep the right one of the two")
        if file_key(cells["file"]) != files[number]:
            raise table.error(i, f"names another file than the list has for number {number}", AGAIN)
        found[number] = i
    missing = [n for n in files if n not in found]
    if missing:
        raise InputError(f"lacks {_numbers(missing)}", where=table.where, fix=AGAIN)
    return {number: found[number] for number in files}


def _refuse_open(numbers: Sequence[int], where: str, count: int) -> None:
    """Labels of some would not be a fair sample: those left open are seldom like the others."""
    if numbers:
        raise InputError(
            f"{len(numbers)} of {count} labels are open: {_numbers(sorted(numbers))}",
            where=where,
            fix=f"label them too; write '{words.NONE}' or '{words.UNUSABLE}' where that is the answer",
        )


def _numbers(numbers: Sequence[int]) -> str:
    """
    >>> _numbers([3]), _numbers([3, 5])
    ('number 3', 'numbers 3, 5')
    """
    first = ", ".join(map(str, numbers[:SHOWN]))
    more = f" and {len(numbers) - SHOWN} more" if len(numbers) > SHOWN else ""
    return f"{'number' if len(numbers) == 1 else 'numbers'} {first}{more}"


def counts(labels: dict[int, str]) -> dict[str, int]:
    """How often each word was written, most often first."""
    return dict(Counter(labels.values()).most_common())
