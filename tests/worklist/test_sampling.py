"""How images are drawn: each with a probability that is known, and evenly over what the model says."""

from __future__ import annotations

import numpy as np
import pytest

from clinical_qkt.worklist.archive import Archive
from clinical_qkt.worklist.listing import rows_of
from clinical_qkt.worklist.sampling import Stratum, drawn, strata


def said(n: int, classes: int = 4, seed: int = 0) -> np.ndarray:
    """Probabilities of an archive; the last class is rare."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (n, classes)) - np.arange(classes) * (np.arange(classes) == classes - 1) * 2
    p = np.exp(logits)
    return p / p.sum(1, keepdims=True)


@pytest.mark.parametrize(("n", "count"), [(5000, 20), (5000, 400), (5000, 4999), (300, 300), (90, 400)])
def test_as_many_are_drawn_as_was_asked_for_and_every_image_could_have_been(n, count):
    parts = strata(said(n), [3], count)
    assert sum(p.labels for p in parts) == min(n, count)
    everything = np.concatenate([cell for p in parts for cell in p.cells])
    assert sorted(everything) == list(range(n))
    assert all(len(cell) >= p.each >= 1 for p in parts for cell in p.cells)


def test_what_the_drawn_images_stand_for_is_the_archive():
    parts = strata(said(5000), [3], 400)
    rng = np.random.default_rng(0)
    for part in parts:
        positions, weights = drawn(part, rng)
        assert len(set(positions)) == part.labels and weights.min() >= 1
        assert weights.sum() == pytest.approx(part.size)


def test_an_image_is_drawn_as_often_as_its_weight_says():
    parts, rng = strata(said(300), [3], 60), np.random.default_rng(0)
    times, stands_for = np.zeros(300), np.zeros(300)
    for _ in range(1000):
        for part in parts:
            positions, weights = drawn(part, rng)
            times[positions] += 1
            stands_for[positions] = weights
    assert np.abs(times / 1000 - 1 / stands_for).max() < 0.08  # 5 standard deviations


def test_called_images_and_those_next_to_them_are_looked_at_more_closely():
    p = said(5000)
    first, *below = strata(p, [3], 400)
    assert first.called == 3 and all(p[cell].argmax(1).tolist() == [3] * len(cell) for cell in first.cells)
    assert all(part.called is None for part in below) and len(below) > 2
    rates = [part.labels / part.size for part in below]
    assert rates == sorted(rates, reverse=True)
    best = [max(p[cell, 3].max() for cell in part.cells) for part in below]
    assert best == sorted(best, reverse=True)


def test_the_last_part_covers_every_class_that_the_model_names():
    p = said(5000)
    last = strata(p, [3], 400)[-1]
    positions, _ = drawn(last, np.random.default_rng(1))
    of_part = np.bincount(p[np.concatenate(last.cells)].argmax(1), minlength=4)
    of_list = np.bincount(p[positions].argmax(1), minlength=4)
    assert np.abs(of_list - last.labels * of_part / last.size).max() <= 4  # at random 8 are usual


def test_each_of_several_queried_classes_has_a_part_with_labels():
    p = said(3000)
    parts = strata(p, [2, 3], 100)
    assert [part.called for part in parts[:2]] == [2, 3]
    for part in parts[:2]:
        assert part.labels >= 1 and part.size == (p.argmax(1) == part.called).sum()


def test_an_archive_in_which_the_model_names_no_queried_class_is_drawn_from_all_the_same():
    p = said(3000)
    p[:, 3] = 0
    parts = strata(p, [3], 100)
    assert sum(part.labels for part in parts) == 100 and all(part.called is None for part in parts)


def test_an_archive_that_is_called_the_class_throughout_is_one_part():
    p = np.zeros((500, 2))
    p[:, 1] = 1
    (part,) = strata(p, [1], 50)
    assert (part.called, part.size, part.labels) == (1, 500, 50)


def test_the_same_seed_draws_the_same_list_in_an_order_that_tells_nothing(tmp_path):
    paths = [tmp_path / f"{i:03d}.png" for i in range(200)]
    for path in paths:
        path.touch()
    archive, parts = Archive(tmp_path, paths, {}), strata(said(200), [3], 50)
    lists = [rows_of(archive, parts, seed) for seed in (1, 1, 2)]
    assert lists[0] == lists[1] != lists[2]
    assert [row.number for row in lists[0]] == list(range(1, 51))
    of_part = [row.part for row in lists[0]]
    assert of_part != sorted(of_part)


def test_a_part_counts_its_images_and_labels():
    part = Stratum(None, np.array_split(np.arange(10), 3))
    assert (part.size, part.labels) == (10, 3)
