"""The benchmark of lists to label: its parts on made-up answers, and the published tables."""

from __future__ import annotations

import json

import numpy as np
import pytest

from clinical_qkt.research.benchmark.worklist import Pool, coverage_row, needed
from clinical_qkt.research.benchmark.worklist_tables import SHARES, tables
from tests.conftest import ROOT

PAGE = ROOT / "docs" / "results" / "worklist.md"


@pytest.fixture(scope="module")
def pool() -> Pool:
    """A model that finds four of five images of the class, and calls 2 of 100 others so."""
    rng = np.random.default_rng(0)
    wanted = np.arange(2000) < 400
    score = np.where(wanted, rng.beta(6, 3, 2000), rng.beta(1, 7, 2000))
    return Pool(0, "basophil", np.column_stack([1 - score, score]), wanted, 1)


def test_an_archive_has_the_share_that_was_asked_for(pool):
    archive = pool.archive(0.01, 3000, np.random.default_rng(1))
    truth = archive.truth()
    assert truth["prevalence"] == pytest.approx(0.01)
    assert truth["recall"] == pytest.approx(archive.called[archive.wanted].mean())
    assert truth["precision"] == pytest.approx(archive.wanted[archive.called].mean())


def test_a_list_needs_fewer_labels_than_chance_to_tell_how_many_called_images_are_right(pool):
    rng = np.random.default_rng(1)
    archives = [pool.archive(0.02, 2000, rng) for _ in range(2)]
    assert 3 * needed("list", "precision", archives, 0) < needed("random", "precision", archives, 0)


def test_misses_of_the_intervals_are_counted_on_either_side(pool):
    row = coverage_row(pool, 0.02, 100, repetitions=8)
    assert row["share"] == 0.02 and row["labels"] == 100
    for key in SHARES:
        assert 0 <= row[key]["low_above"] + row[key]["high_below"] <= 2 / 8
        assert abs(row[key]["error"]) < 3 * row[key]["half_width"]


def test_the_published_tables_follow_from_the_published_figures():
    content = json.loads(PAGE.with_suffix(".json").read_text())
    shown = [line for line in PAGE.read_text().splitlines() if line.startswith("|")]
    assert shown == [line for line in tables(content).splitlines() if line]
    assert content["repetitions"] >= 500
