"""Somebody collects a site's packages and takes, of what each tells of a class, what most of them tell.

A mask by randomised response tells each class wrongly now and then. In the version before it was drawn anew
whenever the epsilon was another, or when a class came to be known or no longer was: thirty packages told all.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from clinical_qkt.bundle.published_mask import published
from clinical_qkt.site.ledger import ledger

CLASSES, PACKAGES, EPSILON = 50, 30, 1.5
KNOWN = {f"class {i}": i % 2 == 0 for i in range(CLASSES)}
"""Of one mask about 41 classes are right; that all are, by chance, happens four times in 100,000."""


def packages(folder: Path, *, epsilons: list[float], swapped: list[bool]) -> list[dict[str, bool]]:
    """What a site's packages tell; in those that are swapped it knows the other classes instead."""
    kept = folder / "mask.json"  # where the version before kept what it told
    where = (kept,)
    if hasattr(ledger.Ledger, "mask"):
        begun = ledger.Ledger(folder / "ledger.db")
        begun.begin()
        where = (begun, "us")
    told = []
    for epsilon, other in zip(epsilons, swapped, strict=True):
        scores = {name: float(known is not other) for name, known in KNOWN.items()}
        found = published(scores, epsilon, *where).scores
        told.append({name: bool(score) for name, score in found.items()})
    return told


def right(told: list[dict[str, bool]]) -> int:
    """Of how many classes most packages tell the truth."""
    votes = {name: sum(one[name] for one in told) > len(told) / 2 for name in KNOWN}
    return sum(votes[name] is known for name, known in KNOWN.items())


@pytest.mark.slow
def test_with_another_epsilon_each_time(tmp_path):
    epsilons = [EPSILON - 0.01 * k for k in range(PACKAGES)]
    told = packages(tmp_path, epsilons=epsilons, swapped=[False] * PACKAGES)
    assert right(told) < CLASSES


@pytest.mark.slow
def test_with_classes_that_come_and_go(tmp_path):
    swapped = [k % 2 == 1 for k in range(2 * PACKAGES)]
    told = packages(tmp_path, epsilons=[EPSILON] * len(swapped), swapped=swapped)
    assert right(told[::2]) < CLASSES


def test_with_the_same_epsilon_and_no_change_each_package_tells_the_same(tmp_path):
    told = packages(tmp_path, epsilons=[EPSILON] * 3, swapped=[False] * 3)
    assert told[0] == told[1] == told[2]
