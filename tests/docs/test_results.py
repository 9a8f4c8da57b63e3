"""The published tables are those that the benchmark makes of the published rows."""

import json
import re

import pytest
from conftest import ROOT

from clinical_qkt.benchmark import results

PAGES = ROOT / "docs" / "results"
COLUMNS = 11
"""Of the benchmark's table; a page may have others of its own."""


def claims(page: str) -> list[str]:
    """Every row of the benchmark's tables and every margin that a page shows."""
    lines = (PAGES / page).read_text().splitlines()
    rows = [line for line in lines if line.startswith("|") and line.count("|") == COLUMNS + 1]
    return rows + [line for line in lines if re.fullmatch(r"\w+ above .* points\.", line)]


@pytest.mark.parametrize("page", ["comparison.md", "partitions.md", "statistics.md", "mixed-hospitals.md"])
def test_every_row_and_margin_follows_from_the_published_rows(page):
    linked = re.findall(r"[\w-]+/[\w-]+\.json", (PAGES / page).read_text())
    contents = [json.loads((PAGES / name).read_text()) for name in linked]
    made = {line for c in contents if "rows" in c for line in results.tables(c).splitlines()}
    found = claims(page)
    assert len(found) > 10 and [line for line in found if line not in made] == []
