"""Dealing images to training, validation and test so that no patient is in two of them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold, train_test_split

from clinical_qkt.data.datalist import SECTIONS, Section
from clinical_qkt.errors import InputError

Array = np.ndarray[Any, Any]
Splits = dict[Section, Array]

SHARES: dict[Section, float] = {"training": 0.7, "validation": 0.1, "test": 0.2}
FOLDS = 10
"""Patients are dealt to this many piles, fewer where a class has fewer: 7, 1 and 2 make the sections."""
ATTEMPTS = 20
"""Dealings that are tried until every class is in every section."""


def split(labels: Sequence[str], patients: Sequence[str], seed: int, where: str) -> Splits:
    """Deal images to sections, about 70, 10 and 20 %, stratified by class; a patient's stay together.

    The outcome depends on the seed and on the order of images, and not on what patients are called.

    Args:
        labels: of each image.
        patients: of each image.
        where: what an error should name.

    Returns:
        Per section the images' sorted positions; every class is in every section.

    Raises:
        InputError: a class has too few images or patients, which is named with its count.
    """
    names, classes = np.unique(np.asarray(labels), return_inverse=True)
    groups = _numbered(patients)
    if groups.max(initial=0) + 1 == len(groups):
        return stratified(np.arange(len(groups)), classes, seed, where)
    held = [len(np.unique(groups[classes == c])) for c in range(len(names))]
    few = int(np.argmin(held))
    if held[few] < len(SECTIONS):
        raise InputError(
            f"class '{names[few]}' shows {held[few]} patients; it needs {len(SECTIONS)} to be in training, "
            "validation and test",
            where=where,
            fix="add patients of that class, or leave it out; where headers were blanked so that patients "
            "cannot be told apart, name them in a CSV file with a column 'patient'",
        )
    for attempt in range(ATTEMPTS):
        found = _dealt(classes, groups, min(FOLDS, held[few]), seed + 7919 * attempt)
        if all(len(np.unique(classes[p])) == len(names) for p in found.values()):
            return found
    raise InputError(
        f"patients cannot be dealt so that every class is in training, validation and test; class "
        f"'{names[few]}' shows {held[few]} patients, others show several classes",
        where=where,
        fix="add patients of that class, or try another --seed",
    )


def stratified(positions: Array, classes: Array, seed: int, where: str) -> Splits:
    """Deal images that each stand for themselves, class by class in ``SHARES``.

    Args:
        positions: of the images to deal.
        classes: ``(N,)``, of all images.

    Raises:
        InputError: a class has fewer than 10 images.
    """
    counts = np.bincount(classes[positions])
    if counts[counts > 0].min(initial=10) < 10:
        raise InputError(
            f"a class has only {counts[counts > 0].min()} images",
            where=where,
            fix="at least 10 a class are needed to split",
        )
    rest, test = train_test_split(
        positions, test_size=SHARES["test"], stratify=classes[positions], random_state=seed
    )
    share = SHARES["validation"] / (1 - SHARES["test"])
    training, validation = train_test_split(rest, test_size=share, stratify=classes[rest], random_state=seed)
    return {"training": np.sort(training), "validation": np.sort(validation), "test": np.sort(test)}


def _numbered(patients: Sequence[str]) -> Array:
    """Patients as numbers in order of their first image."""
    number: dict[str, int] = {}
    return np.array([number.setdefault(p, len(number)) for p in patients], dtype=int)


def _dealt(classes: Array, groups: Array, folds: int, seed: int) -> Splits:
    """Piles by scikit-learn; the first ones are the test images, the next one is for validation."""
    dealer = StratifiedGroupKFold(folds, shuffle=True, random_state=seed % 2**32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes smaller than the piles: checked afterwards
        piles = [pile for _, pile in dealer.split(np.zeros(len(classes)), classes, groups)]
    test = max(1, round(SHARES["test"] * folds))
    return {
        "training": np.sort(np.concatenate(piles[test + 1 :])),
        "validation": np.sort(piles[test]),
        "test": np.sort(np.concatenate(piles[:test])),
    }
