"""The published tables are those that the benchmark makes of the published rows."""

import json
import re

import pytest

from clinical_qkt.research.benchmark import tables
from tests.conftest import ROOT

DOCS = ROOT / "docs"
COLUMNS = {1 + len(tables.AT_BUDGET), 1 + len(tables.NO_BUDGET)}
"""Of the benchmark's tables; a page may have others of its own."""


def claims(page: str) -> list[str]:
    """Every row of the benchmark's tables and every margin that a page shows."""
    lines = (DOCS / page).read_text().splitlines()
    rows = [line for line in lines if line.startswith("|") and line.count("|") - 1 in COLUMNS]
    return rows + [line for line in lines if re.fullmatch(r"\w+ above .* points\.", line)]


@pytest.mark.parametrize(
    "page",
    [
        "results/comparison.md",
        "results/partitions.md",
        "results/statistics.md",
        "results/mixed-hospitals.md",
        "explanation/method.md",
    ],
)
def test_every_row_and_margin_follows_from_the_published_rows(page):
    linked = re.findall(r"[\w-]+/[\w-]+\.json", (DOCS / page).read_text())
    contents = [json.loads((DOCS / "results" / name).read_text()) for name in linked]
    made = {line for c in contents if "rows" in c for line in tables.tables(c).splitlines()}
    found = claims(page)
    assert len(found) > 10 and [line for line in found if line not in made] == []
