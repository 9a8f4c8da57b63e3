"""What training that does not see the look costs is measured on own validation images alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from clinical_qkt.core.errors import InputError
from clinical_qkt.data.label_space import LabelSpace
from clinical_qkt.data.sources import Source
from clinical_qkt.research import own_recall
from clinical_qkt.research.own_recall import SITES, contract, dealt, table


@pytest.fixture
def source() -> Source:
    """Even pictures whose red and green tell their position."""
    labels, at = np.tile(np.arange(8), 60), np.arange(480)
    images = np.zeros((480, 8, 8, 3), np.uint8)
    images[..., 0], images[..., 1] = (at % 200)[:, None, None], (at // 200)[:, None, None]
    splits = {"training": np.arange(0, 320), "validation": np.arange(320, 400), "test": np.arange(400, 480)}
    return Source("squares", LabelSpace([f"c{i}" for i in range(8)]), images, labels, splits)


def positions(items: list[dict[str, Any]], source: Source) -> list[int]:
    pixels = [contract(source).intensities(item["image"][None])[0, :, 0, 0] for item in items]
    return [round(float(p[0])) + 200 * round(float(p[1])) for p in pixels]


def test_sites_share_out_the_training_images_and_see_no_test_image(source):
    seen: list[int] = []
    for site in range(SITES):
        training, validation, classes = dealt(source, 10, site, seed=0)
        assert {i["label"] for i in training} == {i["label"] for i in validation} == set(range(classes))
        seen += positions(training, source)
        assert all(320 <= at < 400 for at in positions(validation, source))
    assert len(seen) == len(set(seen)) == 80 and max(seen) < 320  # ten of each class, each at one site


def test_the_table_compares_with_the_first_training_of_the_fewest_epochs_site_by_site():
    rows = [
        {"seed": s, "site": 0, "recipe": r, "epochs": e, "own": own + s, "in_strong_looks": 50.0}
        for s in (0, 1)
        for r, e, own in (("plain", 8, 90.0), ("plain", 16, 92.0), ("mild", 8, 88.0))
    ]
    lines = table(rows).splitlines()[2:]
    assert lines[0] == "| plain | 8 | 90.5 | +0.0 (+0.0 to +0.0) | 50.0 | 2 |"
    assert lines[1] == "| plain | 16 | 92.5 | +2.0 (+2.0 to +2.0) | 50.0 | 2 |"
    assert lines[2] == "| mild | 8 | 88.5 | -2.0 (-2.0 to -2.0) | 50.0 | 2 |"


def test_a_training_is_measured_on_both_kinds_of_images(source):
    training, validation, classes = dealt(source, 10, 0, seed=0)
    found = own_recall.measured(training, validation, classes, own_recall.RECIPES["strong"], 1, 0)
    assert set(found) == {"own", "in_strong_looks"} and all(0 <= v <= 100 for v in found.values())


def test_a_folder_and_an_unknown_training_are_refused(source, tmp_path):
    source.images = []
    with pytest.raises(InputError, match="is no .npz file"):
        contract(source)
    with pytest.raises(InputError, match="unknown 'stong'") as e:
        own_recall.main(tmp_path, recipes="plain,stong")
    assert "strong" in str(e.value)
