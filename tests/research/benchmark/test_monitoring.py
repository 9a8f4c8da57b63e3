"""The benchmark of ``monitor`` on drawn numbers, and the page that shows its results."""

from __future__ import annotations

import json

import numpy as np
import pytest

from clinical_qkt.research.benchmark import monitoring
from clinical_qkt.research.benchmark.monitoring import Laboratory, restained, tables, weeks
from tests.conftest import ROOT, square
from tests.monitoring.conftest import drawn
from tests.monitoring.test_check import reference

PAGE = (ROOT / "docs" / "results" / "monitoring.md").read_text()


def test_every_row_of_the_page_follows_from_the_published_rows():
    made = tables(json.loads((ROOT / "docs" / "results" / "monitoring.json").read_text())["rows"])
    shown = [line for line in PAGE.splitlines() if line.startswith("| ")]
    assert len(shown) > 10 and not [line for line in shown if line not in made.splitlines()]
    assert not [line for line in made.splitlines() if line and line not in PAGE]


@pytest.mark.parametrize("yardstick", ["acceptance", "baseline", "acceptance, not thinned"])
def test_weeks_with_images_from_elsewhere_alarm_and_others_seldom(monkeypatch, yardstick):
    monkeypatch.setattr(monitoring, "FIRST_PERIOD", 200)
    quiet = drawn(600, 5)
    monkeypatch.setattr(monitoring, "PERMUTATIONS", 199)
    lab = Laboratory(reference(), quiet, quiet.called, {"elsewhere": drawn(100, 6, moved=6)})
    assert all(weeks(lab, 60, 0.5, "elsewhere", 3, yardstick, 0))
    assert sum(map(bool, weeks(lab, 60, 0.0, "same mix", 6, yardstick, 0))) <= 1


def test_a_stronger_change_of_stain_changes_more_and_the_same_seed_the_same():
    pictures = np.stack([square("red", i) for i in range(4)])
    changed = [restained(pictures, strength, 3) for strength in (1.0, 2.0, 3.0)]
    moved = [np.abs(c.astype(float) - pictures).mean() for c in changed]
    assert 0 < moved[0] < moved[1] < moved[2] and changed[0].dtype == np.uint8
    assert np.array_equal(changed[0], restained(pictures, 1.0, 3))
