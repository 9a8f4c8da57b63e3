"""Figures by sex, age band, device, site or whatever the labels' table tells, without giving anybody away.

A figure of fewer units than a minimum is suppressed. Since the totals of all images are known, what is hidden
must not be had by subtraction either: where a single figure of a column is hidden, or those hidden are fewer
than the minimum together, the smallest of the others is hidden, too (complementary suppression; Hundepool et
al., Statistical Disclosure Control, 2012). Units are patients where these are named, else images.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from clinical_qkt.evidence.counting import among
from clinical_qkt.evidence.intervals import Array
from clinical_qkt.evidence.parts import Counted, SmallestRecall, Subgroup, SubgroupColumn, Subgroups

MINIMUM = 10


def subgroups(
    groups: Sequence[Mapping[str, str]],
    labels: Array,
    before: Array,
    after: Array,
    query: Sequence[int],
    patients: Array | None = None,
    *,
    minimum: int = MINIMUM,
) -> Subgroups | None:
    """Figures for each value of each column.

    Args:
        groups: of each test image, its value by column; a column that is missing is not told.
        labels: ``(N,)`` the true columns of the classes.
        before, after: ``(N,)`` what each model calls the images.
        query: the columns of the queried classes.
        patients: ``(N,)`` whose image it is; each image counts for itself if None.
        minimum: units that a figure needs in order to be shown.

    Returns:
        None where no image has a group.

    >>> groups = [{"sex": "f"}] * 12 + [{"sex": "m"}] * 12 + [{}] * 12
    >>> truth, said = np.zeros(36, int), np.arange(36) % 6 // 5  # one of six is called so
    >>> found = subgroups(groups, truth, truth, said, query=[1])
    >>> [(row.value, row.images, row.false_alarms.count) for row in found.columns[0].values]
    [('f', 12, 2), ('m', 12, 2), (None, 12, 2)]
    """
    names = sorted({column for told in groups for column in told})
    if not names:
        return None
    shows = np.isin(labels, query)
    figures = _Figures(shows, after == labels, before == labels, np.isin(after, query), patients, minimum)
    columns = [figures.column(name, [told.get(name) for told in groups]) for name in names]
    rows = [(c.column, row) for c in columns for row in c.values]
    return Subgroups(
        minimum=minimum,
        unit="images" if patients is None else "patients",
        columns=columns,
        smallest_query_recall=_smallest((name, row.value, row.query_recall) for name, row in rows),
        smallest_retained_recall=_smallest((name, row.value, row.retained_recall) for name, row in rows),
    )


def hidden(cells: Sequence[Array], minimum: int) -> set[int]:
    """Which figures of a column may not be shown.

    Args:
        cells: the units of each, as names or numbers; an empty one gives nobody away.

    Returns:
        Their positions.

    >>> sorted(hidden([np.arange(30), np.arange(3), np.arange(12)], 10))
    [1, 2]
    """
    sizes = [len(np.unique(cell)) for cell in cells]
    rest = sorted((i for i, size in enumerate(sizes) if size >= minimum), key=lambda i: sizes[i])
    out = {i for i, size in enumerate(sizes) if 0 < size < minimum}
    while out and rest and (len(out) == 1 or _units(cells, out) < minimum):
        out.add(rest.pop(0))
    return out


def _units(cells: Sequence[Array], which: Iterable[int]) -> int:
    return len(np.unique(np.concatenate([cells[i] for i in which])))


class _Figures:
    """The figures of one test set.

    Args:
        shows, right, right_before, called: ``(N,)`` booleans: a queried class, the right answer of the new
            and of the earlier model, called a queried class.
    """

    def __init__(
        self,
        shows: Array,
        right: Array,
        right_before: Array,
        called: Array,
        patients: Array | None,
        minimum: int,
    ) -> None:
        self.shows, self.right, self.right_before, self.called = shows, right, right_before, called
        self.patients, self.minimum = patients, minimum
        self.units = np.arange(len(shows)) if patients is None else patients

    def column(self, name: str, values: Sequence[str | None]) -> SubgroupColumn:
        """One column's values, in order, those of which nothing is told last."""
        order: list[str | None] = [*sorted({v for v in values if v is not None})]
        order += [None] if None in values else []
        cells = [np.array([v == value for v in values]) for value in order]
        closed = {
            kind: hidden([self.units[cell & (self.shows == kind)] for cell in cells], self.minimum)
            for kind in (True, False)
        }
        rows = [
            self.row(value, cell, i in closed[True], i in closed[False])
            for i, (value, cell) in enumerate(zip(order, cells, strict=True))
        ]
        return SubgroupColumn(column=name, values=rows, suppressed=len(closed[True] | closed[False]))

    def row(self, value: str | None, cell: Array, no_query: bool, no_others: bool) -> Subgroup:
        """One value; how many images it has is told only where both of its parts may be."""
        mine, others = cell & self.shows, cell & ~self.shows
        no_query = no_query or (no_others and not mine.any())
        no_others = no_others or (no_query and not others.any())
        whole = not no_query and not no_others
        named = whole and self.patients is not None
        return Subgroup(
            value=value,
            images=int(cell.sum()) if whole else None,
            patients=len(np.unique(self.units[cell])) if named else None,
            query_recall=None if no_query else among(mine, self.right, self.patients),
            retained_recall=None if no_others else among(others, self.right, self.patients),
            retained_recall_before=None if no_others else among(others, self.right_before, self.patients),
            false_alarms=None if no_others else among(others, self.called, self.patients),
        )


def _smallest(found: Iterable[tuple[str, str | None, Counted | None]]) -> SmallestRecall | None:
    """By share; of equal ones that with the lower end of its interval."""
    shown = [(c, v, r) for c, v, r in found if r is not None and r.share is not None]
    if not shown:
        return None
    column, value, recall = min(shown, key=lambda s: (s[2].share, s[2].ci95))
    return SmallestRecall(column=column, value=value, recall=recall)
