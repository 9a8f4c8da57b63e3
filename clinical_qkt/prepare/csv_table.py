"""Reading a table that a person made: CSV as spreadsheets and pandas write it. Errors repeat no cell."""

from __future__ import annotations

import csv
import io
import posixpath
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from clinical_qkt.core.errors import InputError
from clinical_qkt.data.class_names import shown
from clinical_qkt.data.words import is_missing, one_spelling

SEPARATORS = ",;\t"
_WHOLE = re.compile(r"(-?\d+)[.,]0*")
_FRACTION = re.compile(r"-?\d*[.,]\d+")
_SHORTENED = re.compile(r"-?\d+[.,]\d+[eE][+-]?\d+|-?\d+[eE]\+\d+")


@dataclass
class Table:
    """A table's content.

    Attributes:
        columns: lower-case names of the columns, in order; unnamed ones are empty.
        rows: number, as a spreadsheet counts, and cells by column; without outer blanks.
        whole: cells that held a whole number written as a decimal, by column.
    """

    where: str
    columns: list[str]
    rows: list[tuple[int, dict[str, str]]]
    whole: Counter[str] = field(default_factory=Counter)

    def word(self, row: int, column: str) -> str:
        """A cell that names something: 1.0 is 1, and what is no name of anything is refused.

        Raises:
            InputError: it is a fraction, a number that was shortened, or a value that is missing.
        """
        cell = self.rows[row][1].get(column, "")
        if whole := _WHOLE.fullmatch(cell):
            self.whole[column] += 1
            return whole[1] if int(whole[1]) else "0"
        for pattern, what in (
            (_FRACTION, "is a fraction; a class, a patient or a group has a name or a whole number"),
            (_SHORTENED, "is a number that a spreadsheet has shortened, so its digits are lost"),
        ):
            if pattern.fullmatch(cell):
                raise self.error(row, f"'{column}' {what}", "write the name as text")
        if is_missing(cell):
            problem = f"'{column}' is a mark for a missing or wrong value"
            raise self.error(row, problem, "write another name, or delete the row")
        return cell

    def refuse_two_spellings(self, column: str, words: Sequence[str]) -> None:
        """What names one thing in two spellings, such as 7 and 007, would count as two.

        Args:
            words: of all rows in that column, see ``word``.

        Raises:
            InputError: names two rows.
        """
        first: dict[str, tuple[int, str]] = {}
        for i, word in enumerate(words):
            other, spelt = first.setdefault(one_spelling(word), (i, word))
            if spelt != word:
                raise self.error(
                    i,
                    f"its '{column}' and that of row {self.rows[other][0]} differ in nothing but case, "
                    "blanks or leading zeros",
                    "write the same in the same way, and make others clearly different",
                )

    def error(self, row: int, problem: str, fix: str) -> InputError:
        """An error that names a row."""
        return InputError(problem, where=f"{self.where}: row {self.rows[row][0]}", fix=fix)


def read_table(path: Path, where: str) -> Table:
    """Read a table with commas, semicolons or tabs, in UTF-8 with or without a byte order mark.

    Args:
        where: what errors call it.

    Raises:
        InputError: it cannot be read, two columns have one name, or a row has not as many cells as the first.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
        header, *records = [r for r in _records(text) if any(cell.strip() for cell in r[1])] or [(1, [])]
    except UnicodeDecodeError:
        fix = "save it as 'CSV UTF-8'"
        raise InputError("is not in UTF-8, so that its letters are not sure", where=where, fix=fix) from None
    except OSError as e:
        raise InputError(f"cannot be read ({e.strerror})", where=where, fix="check the path") from None
    except csv.Error as e:
        raise InputError(f"is no CSV file ({e})", where=where, fix="save it as 'CSV UTF-8'") from None
    columns = [cell.strip().lower() for cell in header[1]]
    twice = [name for name, count in Counter(filter(None, columns)).items() if count > 1]
    if twice:
        raise InputError(f"has two columns {shown(twice[0])}", where=where, fix="keep the right one")
    for number, cells in records:
        if len(cells) != len(columns):
            raise InputError(
                f"has {len(cells)} cells, and the first line has {len(columns)}",
                where=f"{where}: row {number}",
                fix="put a cell that holds the separator into double quotes, and leave no cell out",
            )
    rows = [(n, {c: cell.strip() for c, cell in zip(columns, cells, strict=True)}) for n, cells in records]
    return Table(where, columns, rows)


def _records(text: str) -> Iterator[tuple[int, list[str]]]:
    """Numbers and cells of all rows; quoted line ends and a spreadsheet's own ``sep=`` line are heeded."""
    text = text if "\n" in text else text.replace("\r", "\n")
    start, _, rest = text.partition("\n")
    told = re.fullmatch(r"sep=(.)\r?", start, re.IGNORECASE)
    text, first = (rest, 2) if told else (text, 1)
    separator = told[1] if told else max(SEPARATORS, key=text.partition("\n")[0].count)
    return enumerate(csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True), start=first)


def file_key(path: str) -> str:
    """A relative path in the one spelling by which it is found, whatever system the table was made on.

    >>> file_key("a\\\\b/../c.png"), file_key("./a/c.png")
    ('a/c.png', 'a/c.png')
    """
    return unicodedata.normalize("NFC", posixpath.normpath(path.replace("\\", "/")))
