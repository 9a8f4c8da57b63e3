"""The page of hospitals whose images look different: its figures are those of the rows beside it."""

import json

import pytest

from clinical_qkt.documentation import shift_pages as pages
from clinical_qkt.documentation.schema_tables import between_marks
from tests.conftest import ROOT
from tests.documentation.test_comparison_pages import row as any_row

ALIKE = {"distance": 0.1, "shared": 1, "residual": None}
FAR = {"distance": 5.0, "shared": 1, "residual": 2.5}
NEAR = {"distance": 5.0, "shared": 1, "residual": 0.5}
THROUGH = {"distance": 5.0, "shared": 0, "residual": None}
NOTHING = {"distance": None, "shared": 0, "residual": None}


def row(variant, scenario, recall=0.9, looks=(), **figures):
    return any_row(variant, recall=recall, scenario=scenario, looks=[*looks], **figures)


def test_every_level_has_a_column_and_what_was_not_run_a_dash():
    told = pages.by_level([row("statistics", "none"), row("statistics", "strong", 0.5), row("local", "none")])
    assert "| method | none | strong |" in told
    assert "| statistics | 90.0 (90.0 to 90.0) | 50.0 (50.0 to 50.0) |" in told
    assert "| local | 90.0 (90.0 to 90.0) | – |" in told and "| statistics | 1, 1 of 1 | 1, 1 of 1 |" in told


def test_what_was_reached_stands_beside_what_was_wanted():
    told = pages.targets([row("statistics", "mild", 0.96), row("statistics", "three_classes_strong", 0.5)])
    assert "| one class | statistics | mild | 1 | 95 | 96.0 (96.0 to 96.0) | reached |" in told
    assert "| three classes | statistics | strong | 1 | 75 | 50.0 (50.0 to 50.0) | 25.0 |" in told


@pytest.mark.parametrize(
    ("looks", "warned"),
    [([ALIKE], False), ([NEAR], False), ([ALIKE, FAR], True), ([THROUGH], True), ([NOTHING], True)],
)
def test_a_query_is_warned_of_by_the_limits_of_the_verdict(looks, warned):
    assert pages.warned({"looks": looks}) is warned


def test_warnings_are_held_against_recall():
    rows = [row("statistics", "none", 0.9, [ALIKE]), row("statistics", "strong", 0.2, [FAR])]
    told = pages.warnings([*rows, row("private", "strong", 0.5, [NEAR], query=["b"])])
    assert "| statistics, strong | 1 of 1 | 0 of 0 | 0 of 1 |" in told
    assert (
        "| private, strong | 0 of 1 | 0 of 1 | 0 of 0 |" in told
        and "| all | 1 of 3 | 1 of 2 | 0 of 1 |" in told
    )


@pytest.mark.skipif(not (ROOT / pages.PLACE).is_dir(), reason="nothing is published yet")
def test_the_page_is_made_of_what_is_published():
    page = (ROOT / pages.PAGE).read_text()
    for name, block in pages.blocks(ROOT / pages.PLACE).items():
        assert between_marks(page, pages.BY, name, block) == page, "run " + pages.BY
    for path in (ROOT / pages.PLACE).glob("*.json"):
        assert all("trade" not in r for r in json.loads(path.read_text())["rows"])
