"""``prepare --groups``: columns of the labels' table by which results are to be told apart later."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from clinical_qkt.core.errors import InputError, one_of
from clinical_qkt.data.class_names import shown
from clinical_qkt.data.groups import column_problem, values_problem
from clinical_qkt.data.words import is_missing
from clinical_qkt.prepare.csv_table import Table
from clinical_qkt.prepare.findings import Found

WHERE = "--groups"
NEEDS_TABLE = "needs a table of labels that has the columns"


def columns_of(text: str | None) -> tuple[str, ...]:
    """The columns that ``--groups`` names, in lower case as tables are read.

    >>> columns_of("sex, Age_band")
    ('sex', 'age_band')

    Raises:
        InputError: a name is empty, stands twice or cannot be a group's.
    """
    if text is None:
        return ()
    names = [name.strip().lower() for name in text.split(",")]
    problem = next(filter(None, map(column_problem, names)), None)
    if len(set(names)) < len(names):
        problem = "names a column twice"
    if problem:
        raise InputError(problem, where=WHERE, fix="name columns, e.g. --groups sex,age_band")
    return tuple(names)


def groups_of(table: Table, columns: Sequence[str]) -> list[tuple[tuple[str, str], ...]]:
    """What each row of a table tells; a cell that is empty or a mark for a missing value tells nothing.

    Raises:
        InputError: there is no such column, or its values are no groups; no value is repeated.
    """
    told: list[dict[str, str]] = [{} for _ in table.rows]
    for column in columns:
        if column not in table.columns:
            known = [c for c in table.columns if c and column_problem(c) is None and c != "patient"]
            fix = one_of(column, known) if known else "add it to the table, or leave it out"
            raise InputError(f"the table has no column {shown(column)}", where=WHERE, fix=fix)
        for i, (_, cells) in enumerate(table.rows):
            if cells[column] and not is_missing(cells[column]):
                told[i][column] = table.word(i, column)
        if wrong := values_problem(column, [t[column] for t in told if column in t]):
            raise InputError(wrong[0], where=WHERE, fix=wrong[1])
    return [tuple(t.items()) for t in told]


def groups_told(found: Sequence[Found]) -> Iterator[str]:
    """How many groups each column tells, and of how many images it tells nothing."""
    values: dict[str, Counter[str]] = {}
    for one in found:
        for column, value in one.groups:
            values.setdefault(column, Counter())[value] += 1
    for column, counts in values.items():
        untold = len(found) - counts.total()
        missing = f"; of {untold} of {len(found)} images it is not told" if untold else ""
        yield f"the column {shown(column)} tells {len(counts)} groups apart{missing}"
