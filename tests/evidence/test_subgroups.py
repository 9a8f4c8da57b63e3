"""Figures by subgroup, and what they must not give away."""

from __future__ import annotations

import numpy as np
import pytest

from clinical_qkt.evidence.parts import Subgroups
from clinical_qkt.evidence.subgroups import hidden, subgroups


def units(*sizes: int) -> list[np.ndarray]:
    """Cells of so many units, all different."""
    starts = np.cumsum([0, *sizes[:-1]])
    return [start + np.arange(size) for start, size in zip(starts, sizes, strict=True)]


@pytest.mark.parametrize(
    ("sizes", "out"),
    [
        ((30, 40), set()),
        ((30, 3), {0, 1}),
        ((30, 3, 12), {1, 2}),
        ((30, 3, 2, 12), {1, 2, 3}),
        ((30, 6, 7), {1, 2}),
        ((30, 0, 40), set()),
        ((3, 4), {0, 1}),
        ((3,), {0}),
        ((10, 10), set()),
    ],
)
def test_small_figures_are_hidden_and_so_much_more_that_none_is_had_by_subtraction(sizes, out):
    assert hidden(units(*sizes), 10) == out


def test_no_hidden_figure_or_sum_of_hidden_ones_below_the_minimum_follows_from_the_total():
    rng = np.random.default_rng(0)
    for _ in range(500):
        cells = units(*rng.integers(0, 25, rng.integers(1, 7)))
        out = hidden(cells, 10)
        assert all(not 0 < len(c) < 10 for i, c in enumerate(cells) if i not in out)
        together = sum(len(cells[i]) for i in out)
        open_cells = [c for i, c in enumerate(cells) if i not in out and len(c)]
        assert not open_cells or not out or (together >= 10 and len(out) > 1)


def test_patients_are_counted_and_not_their_images():
    assert hidden([np.repeat(np.arange(4), 10), 4 + np.arange(40)], 10) == {0, 1}


def made(women: int = 40, men: int = 40, untold: int = 0, patients: bool = False):
    """Every second image shows the queried class 2; women's queried images are half missed."""
    sexes = ["F"] * women + ["M"] * men + [None] * untold
    groups = [{"sex": s} if s else {} for s in sexes]
    n = len(groups)
    labels = np.where(np.arange(n) % 2, 2, np.arange(n) % 4 // 2)
    after = labels.copy()
    after[[i for i in range(women) if i % 4 == 1]] = 0
    after[0] = 2
    before = np.where(labels == 2, 0, labels)
    who = np.array([f"p{i // 2}" for i in range(n)]) if patients else None
    return groups, labels, before, after, [2], who


def by_value(found: Subgroups, column: str = "sex"):
    return {v.value: v for c in found.columns if c.column == column for v in c.values}


def test_recall_and_false_alarms_are_of_the_subgroups_own_images():
    found = subgroups(*made())
    women, men = by_value(found)["F"], by_value(found)["M"]
    assert (women.images, women.query_recall.count, women.query_recall.images) == (40, 10, 20)
    assert (women.false_alarms.count, women.false_alarms.images, women.retained_recall.count) == (1, 20, 19)
    assert (women.retained_recall_before.count, men.query_recall.share, men.false_alarms.count) == (20, 1, 0)
    assert women.patients is None and found.unit == "images"


def test_the_smallest_recall_is_named():
    found = subgroups(*made())
    smallest = found.smallest_query_recall
    assert (smallest.column, smallest.value, smallest.recall.count) == ("sex", "F", 10)
    assert found.smallest_retained_recall.value == "F"


def test_what_is_not_told_is_a_group_of_its_own_and_comes_last():
    found = subgroups(*made(untold=40))
    assert list(by_value(found)) == ["F", "M", None] and by_value(found)[None].images == 40


def test_of_a_small_group_nothing_is_shown_and_the_other_does_not_give_it_away():
    found = subgroups(*made(women=6))
    assert found.columns[0].suppressed == 2 and found.smallest_query_recall is None
    for row in by_value(found).values():
        figures = row.model_dump(exclude={"value"})
        assert set(figures.values()) == {None}


def test_of_a_group_with_few_queried_images_their_number_is_not_told_either():
    groups, labels, before, after, query, _ = made(40, 60, 60)
    labels[[i for i in range(40) if labels[i] == 2][4:]] = 0  # four women show the class
    found = by_value(subgroups(groups, labels, before, after, query))
    assert found["F"].query_recall is None and found["F"].images is None
    assert found["F"].false_alarms.images == 36
    assert [v for v in ("M", None) if found[v].query_recall is None], "else the total would tell"


def test_with_patients_a_group_needs_ten_of_them():
    groups, labels, before, after, query, who = made(40, 40, patients=True)
    found = subgroups(groups, labels, before, after, query, who)
    assert found.unit == "patients" and by_value(found)["F"].patients == 20
    few = np.where(np.arange(80) < 40, "p" + (np.arange(80) % 5).astype(str).astype(object), who)
    assert by_value(subgroups(groups, labels, before, after, query, few))["F"].images is None


def test_without_groups_there_is_nothing_to_say():
    groups, *rest = made()
    assert subgroups([{} for _ in groups], *rest) is None
    assert subgroups([], *(np.zeros(0, int),) * 3, [2]) is None


def test_a_part_survives_its_journey_through_json():
    found = subgroups(*made(untold=5))
    assert Subgroups.model_validate_json(found.model_dump_json()) == found
