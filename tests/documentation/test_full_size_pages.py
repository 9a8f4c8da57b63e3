"""The page of full-size pictures: its figures are those of the rows beside it."""

from __future__ import annotations

import json

import pytest

from clinical_qkt.documentation import full_size_pages as pages
from clinical_qkt.documentation.schema_tables import between_marks
from tests.conftest import ROOT
from tests.documentation.test_comparison_pages import row


def test_what_was_reached_stands_beside_what_was_wanted():
    rows = [
        row("statistics", recall=0.99, scenario="one_class_224"),
        row("private", recall=0.5, scenario="three_classes_224"),
    ]
    told = pages.targets(rows)
    assert "| one_class_224 | statistics | 98.5 | 99.0 (99.0 to 99.0) | reached |" in told
    assert "| three_classes_224 | private | 87 | 50.0 (50.0 to 50.0) | 37.0 |" in told


def test_label_lists_are_compared_query_by_query():
    made = [
        {**row("private", recall=recall, scenario=scenario, seed=seed), "query": [name]}
        for scenario, name, seed, recall in (
            (pages.EQUAL, "neutrophil", 3, 0.9),
            (pages.FINER, "neutrophil", 3, 0.8),
            (pages.EQUAL, "monocyte", 4, 0.5),
            (pages.FINER, "monocyte", 4, 0.52),
            (pages.FINER, "platelet", 4, 0.0),  # not asked for in both
        )
    ]
    told = pages.label_lists(made).splitlines()[-1]
    assert told.startswith("| private | 70.0 | 66.0 | -4.0 (-10.0 to 2.0) | no | -10.0 (-10.0 to -10.0) |")


def test_ten_networks_by_folds_are_held_against_three_query_by_query():
    three, ten = (
        [
            {**row("private", recall=recall, scenario=scenario, seed=seed), "query": [name], **kept}
            for name, seed, recall in made
        ]
        for scenario, made, kept in (
            (
                "s_stages",
                [("neutrophil", 3, 0.9), ("monocyte", 4, 0.5), ("platelet", 4, 0.1)],
                {"mean_kept_on_test": True, "worst_kept_on_test": False},
            ),
            (
                "s_ten_folds",
                [("monocyte", 4, 0.6), ("neutrophil", 3, 0.8)],
                {"mean_kept_on_test": False, "worst_kept_on_test": True},
            ),
        )
    )
    told = pages.ten_folds(three, ten).splitlines()[-1]
    assert told.startswith("| s_ten_folds | private | 70.0 | 0.0 (-10.0 to 10.0) | 0.0 (0.0 to 0.0) |")
    assert told.endswith("| 2, 0 of 2 | 0, 2 of 2 |")


@pytest.mark.skipif(not (ROOT / pages.PLACE / pages.FILES[0]).is_file(), reason="nothing is published yet")
def test_the_page_is_made_of_what_is_published():
    page = (ROOT / pages.PAGE).read_text()
    for name, block in pages.blocks(ROOT / pages.PLACE).items():
        assert between_marks(page, pages.BY, name, block) == page, "run " + pages.BY
    text = (ROOT / pages.PLACE / pages.FILES[0]).read_text()
    assert all("trade" not in r for r in json.loads(text)["rows"]) and "/tmp" not in text
