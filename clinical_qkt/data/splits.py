"""Dealing images to training, validation and test so that no patient is in two of them.

Class by class, the rarest first, as in the iterative stratification of Sechidis, Tsoumakas and Vlahavas (On
the stratification of multi-label data, ECML PKDD 2011), with patients in the place of examples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.model_selection import train_test_split

from clinical_qkt.core.errors import InputError
from clinical_qkt.data.class_names import in_words, shown
from clinical_qkt.data.datalist import SECTIONS, Section

Array = np.ndarray[Any, Any]
Splits = dict[Section, Array]
Shown = tuple[str, str]
"""An image's class and its patient."""

SHARES: dict[Section, float] = {"training": 0.7, "validation": 0.1, "test": 0.2}
TOLERANCE = 0.05
"""A class with a share that is further from its target is told."""
NAMED = 3
"""Classes that are told by name; the summary's table has all."""
ATTEMPTS = 20
"""Dealings that are tried until every class is in every section."""


def split(labels: Sequence[str], patients: Sequence[str], seed: int, where: str) -> Splits:
    """Deal images to sections, about 70, 10 and 20 % of each class; a patient's stay together.

    A class with few patients comes out otherwise, and other classes are not touched by that. The outcome
    depends on the seed and on the order of images, and not on what patients and classes are called.

    Args:
        labels: of each image.
        patients: of each image.
        where: what an error should name.

    Returns:
        Per section the images' sorted positions; every class is in every section.

    Raises:
        InputError: a class has too few images or patients, which is named with its count.
    """
    names, classes, groups = list(dict.fromkeys(labels)), _numbered(labels), _numbered(patients)
    if groups.max(initial=0) + 1 == len(groups):
        return stratified(np.arange(len(groups)), classes, seed, where, names)
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
        found = _Dealer(classes, groups, seed, attempt).sections()
        if all(len(np.unique(classes[p])) == len(names) for p in found.values()):
            return found
    raise InputError(
        f"patients cannot be dealt so that every class is in training, validation and test; class "
        f"'{names[few]}' shows {held[few]} patients, others show several classes",
        where=where,
        fix="add patients of that class, or try another --seed",
    )


def stratified(positions: Array, classes: Array, seed: int, where: str, names: Sequence[str] = ()) -> Splits:
    """Deal images that each stand for themselves, class by class in ``SHARES``.

    Args:
        positions: of the images to deal.
        classes: ``(N,)``, of all images.
        names: of the classes, for errors.

    Raises:
        InputError: a class has fewer than 10 images.
    """
    counts = np.bincount(classes[positions])
    if counts[counts > 0].min(initial=10) < 10:
        few = int(np.argmin(np.where(counts > 0, counts, len(classes))))
        raise InputError(
            f"{f'class {shown(names[few])}' if names else 'a class'} has only {counts[few]} images",
            where=where,
            fix="at least 10 a class are needed to split",
        )
    rest, test = train_test_split(
        positions, test_size=SHARES["test"], stratify=classes[positions], random_state=seed
    )
    share = SHARES["validation"] / (1 - SHARES["test"])
    training, validation = train_test_split(rest, test_size=share, stratify=classes[rest], random_state=seed)
    return {"training": np.sort(training), "validation": np.sort(validation), "test": np.sort(test)}


def dealt_told(sections: Mapping[Section, Sequence[Shown]], seed: int) -> str:
    """How images were dealt, in words: the shares that came out, and the classes that came out otherwise.

    Args:
        sections: of each image its class and its patient.
    """
    everything = [image for images in sections.values() for image in images]
    by_patient = len({patient for _, patient in everything}) < len(everything)
    odd = [line for label in dict.fromkeys(c for c, _ in everything) if (line := _odd(label, sections))]
    more = f"; and {len(odd) - NAMED} more classes likewise" if len(odd) > NAMED else ""
    return (
        f"{_percents(list(map(len, sections.values())))} of the images were drawn for {in_words(sections)}, "
        f"{'by patient' if by_patient else 'stratified'}, with seed {seed}"
        + "".join(f"; {line}" for line in odd[:NAMED])
        + more
    )


def _odd(label: str, sections: Mapping[Section, Sequence[Shown]]) -> str:
    """A class whose shares are off their targets, in words; empty if they are not."""
    mine = {s: [patient for c, patient in images if c == label] for s, images in sections.items()}
    count = sum(map(len, mine.values()))
    if all(abs(len(mine[s]) / count - SHARES[s]) <= TOLERANCE for s in SECTIONS):
        return ""
    patients = len({patient for images in mine.values() for patient in images})
    of = f"{patients} patients" if patients < count else f"{count} images"
    return f"class {shown(label)} has {of} and came out as {_percents([len(mine[s]) for s in SECTIONS])}"


def _percents(sizes: Sequence[int]) -> str:
    """
    >>> _percents([7, 1, 2])
    '70/10/20 %'
    """
    return "/".join(f"{100 * size / max(1, sum(sizes)):.0f}" for size in sizes) + " %"


def _numbered(names: Sequence[str]) -> Array:
    """Names as numbers in order of their first image."""
    number: dict[str, int] = {}
    return np.array([number.setdefault(p, len(number)) for p in names], dtype=int)


class _Dealer:
    """One dealing of patients to sections.

    Args:
        classes, groups: ``(N,)``, class and patient of each image.
        attempt: the first one takes patients from large to small, later ones in any order.
    """

    def __init__(self, classes: Array, groups: Array, seed: int, attempt: int) -> None:
        self.groups = groups
        self.images = np.zeros((groups.max() + 1, classes.max() + 1), dtype=int)
        np.add.at(self.images, (groups, classes), 1)
        shares = np.array([SHARES[s] for s in SECTIONS])
        self.lacks = shares[:, None] * self.images.sum(0)  # images of each class that a section still lacks
        self.without = np.ones(self.lacks.shape, dtype=bool)  # sections that have none of a class
        self.left = (self.images > 0).sum(0)  # patients of each class that are not dealt yet
        self.section = np.full(len(self.images), -1)
        self.rank = np.random.default_rng([seed % 2**32, attempt]).permutation(len(self.images))
        self.size = self.images if attempt == 0 else np.zeros_like(self.images)

    def sections(self) -> Splits:
        """The images' sorted positions per section; a class may be missing in one."""
        while (self.section < 0).any():
            rarest = int(np.argmin(np.where(self.left > 0, self.left, len(self.images) + 1)))
            for patient in self._in_order(rarest):
                self._deal(int(patient), rarest)
        return {s: np.flatnonzero(self.section[self.groups] == i) for i, s in enumerate(SECTIONS)}

    def _in_order(self, label: int) -> Array:
        mine = np.flatnonzero((self.section < 0) & (self.images[:, label] > 0))
        return mine[np.lexsort((self.rank[mine], -self.size[mine, label]))]

    def _deal(self, patient: int, label: int) -> None:
        """To the section that most lacks the class, among those that have to get the patient."""
        open_to = self._bound(patient)
        lacking = np.where(open_to, self.lacks[:, label], -np.inf)
        place = int(np.argmax(lacking))
        self.section[patient] = place
        self.left -= self.images[patient] > 0
        self.lacks[place] -= self.images[patient]
        self.without[place] &= self.images[patient] == 0

    def _bound(self, patient: int) -> Array:
        """The sections that lack a class of which no more patients are left than they need; else all."""
        mine = self.images[patient] > 0
        need = self.without.sum(0)
        urgent = np.flatnonzero(mine & (need > 0) & (self.left <= need))
        open_to = np.ones(len(SECTIONS), dtype=bool)
        for label in urgent:
            both = open_to & self.without[:, label]
            open_to = both if both.any() else open_to
        return open_to
