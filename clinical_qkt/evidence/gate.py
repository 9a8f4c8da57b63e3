"""'None of these': when a model should say that an image shows no class of its list.

A score of the logits tells how much an image looks like any class: the highest probability (Hendrycks and
Gimpel, ICLR 2017, arXiv 1610.02136), the margin between the two highest logits, the highest logit (Hendrycks
et al., ICML 2022, arXiv 1911.11132) or the free energy (Liu et al., NeurIPS 2020, arXiv 2010.03759). Which
one is used is decided on own validation images alone: each retained class in turn has its column hidden, as
if the model did not have it, and the score that best tells its images from the others is taken. The threshold
lets 95 of 100 own validation images pass. Test images and images of the queried class decide nothing.
Pictures unlike the site's own are told by ``pictures``, whatever the model says of them.

A hidden class is an easier stranger than a truly new one: the network was trained on it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
from scipy.special import logsumexp, softmax

from clinical_qkt.evidence.auroc import auroc
from clinical_qkt.evidence.counting import among, counted
from clinical_qkt.evidence.intervals import Array
from clinical_qkt.evidence.parts import Gate, GateCost, GateScore, GateSource
from clinical_qkt.evidence.pictures import Pictures
from clinical_qkt.tasks.single_label import SINGLE_LABEL

KEPT = 0.95
"""Share of own validation images that pass."""
Kind = Literal["hidden class", "noise and shapes", "another modality", "excluded class"]
Score = Literal["max_probability", "margin", "max_logit", "energy"]
SCORES: dict[Score, Callable[[Array], Array]] = {
    "max_probability": lambda logits: softmax(logits, axis=1).max(1),
    "margin": lambda logits: np.diff(np.partition(logits, -2, axis=1)[:, -2:], axis=1)[:, 0],
    "max_logit": lambda logits: logits.max(1),
    "energy": lambda logits: logsumexp(logits, axis=1),
}
"""From ``(N, C)`` logits to ``(N,)``; higher for images that look like a class."""
LEVEL_FREE: tuple[Score, ...] = ("max_probability", "margin")
"""They compare an image's logits with one another only. Log-densities of a class that was described by
another site lie on a level of their own, of which own images say nothing: there only these serve."""
assert set(SCORES) == set(get_args(Score))


@dataclass(frozen=True)
class Answers:
    """What a model says of images.

    Attributes:
        logits: ``(N, C)``.
        labels: ``(N,)`` the true columns.
        patients: ``(N,)`` whose image it is; each image counts for itself if None.
        numbers: ``(N, D)`` of the pictures, see ``pictures.numbers_of``; None if these are not looked at.
    """

    logits: Array
    labels: Array
    patients: Array | None = None
    numbers: Array | None = None

    def hidden(self, column: int) -> Answers:
        """The same of a model without that column; labels stay."""
        return replace(self, logits=np.delete(self.logits, column, 1))


@dataclass(frozen=True)
class Others:
    """Images of no class of the model's list.

    Attributes:
        name: what a reader knows them by.
        logits, numbers: as in ``Answers``.
    """

    name: str
    kind: Kind
    logits: Array
    numbers: Array | None = None


@dataclass(frozen=True)
class Door:
    """The gate itself: what it lets pass.

    Attributes:
        score: of the logits.
        threshold: the least score that passes.
        pictures: what own pictures are like; None if pictures are not looked at.
    """

    score: Score
    threshold: float
    pictures: Pictures | None = None

    def scores(self, logits: Array, numbers: Array | None) -> Array:
        """``(N,)``, higher for what looks like a class; pictures unlike the own ones come last."""
        found = SCORES[self.score](logits)
        far = self.far(numbers, len(logits))
        return np.where(far, -math.inf, found)

    def far(self, numbers: Array | None, count: int) -> Array:
        """``(N,)`` booleans: pictures unlike the site's own."""
        if self.pictures is None or numbers is None:
            return np.zeros(count, dtype=bool)
        return self.pictures.unlike(numbers)

    def refused(self, logits: Array, numbers: Array | None) -> Array:
        """``(N,)`` booleans: what gets 'none of these'."""
        return self.scores(logits, numbers) < self.threshold


def opened(
    validation: Answers, retained: Sequence[int], pictures: Pictures | None = None, *, levels: bool = True
) -> tuple[Door, list[GateScore]] | None:
    """Choose the score and set the threshold, on own validation images.

    Args:
        validation: own images of retained classes.
        retained: their columns.
        levels: whether the logits of all columns lie on one level; see ``LEVEL_FREE``.

    Returns:
        The gate, and how the scores compared; None without validation images.

    >>> logits, labels = np.eye(3)[np.arange(60) % 3] * 6, np.arange(60) % 3
    >>> door, candidates = opened(Answers(logits, labels), retained=[0, 1, 2])
    >>> door.refused(np.array([[6.0, 0.0, 0.0], [0.4, 0.2, 0.0]]), None).tolist()
    [False, True]
    """
    if not len(validation.labels):
        return None
    candidates = compared(validation, retained, list(SCORES) if levels else LEVEL_FREE)
    best = max(candidates, key=lambda c: -1.0 if c.auroc is None else c.auroc)
    name = next(s for s in SCORES if s == best.score)
    return Door(name, _threshold(SCORES[name](validation.logits)), pictures), candidates


def compared(
    validation: Answers, retained: Sequence[int], names: Sequence[Score] = tuple(SCORES)
) -> list[GateScore]:
    """How well each score tells the images of a class whose column is hidden, on average over the classes.

    >>> logits = np.array([[6.0, 0.0, 0.0], [5.0, 1.0, 0.0], [0.0, 6.0, 0.0]])
    >>> images = Answers(logits, np.array([0, 0, 1]))  # without column 0, little speaks for the first two
    >>> [(c.score, c.auroc) for c in compared(images, retained=[0], names=["max_probability"])]
    [('max_probability', 1.0)]
    """
    areas: dict[Score, list[float]] = {name: [] for name in names}
    for column in retained:
        said, strange = validation.hidden(column), validation.labels == column
        for name in names if said.logits.shape[1] > 1 else ():
            scores = SCORES[name](said.logits)
            area, _ = auroc(scores[~strange], scores[strange])
            areas[name] += [] if area is None else [area]
    return [GateScore(score=n, auroc=float(np.mean(a)) if a else None) for n, a in areas.items()]


def measured(
    door: Door,
    candidates: list[GateScore],
    validation: Answers,
    test: Answers,
    retained: Sequence[int],
    query: Sequence[int],
    names: Sequence[str],
    others: Sequence[Others] = (),
) -> Gate:
    """What a gate does on test images and on images of no class.

    Args:
        door, candidates: see ``opened``.
        validation: the same images.
        test: own images of all classes.
        retained, query: the columns.
        names: of all columns.
        others: images of no class of the list.

    >>> logits, labels = np.eye(3)[np.arange(60) % 3] * 6, np.arange(60) % 3
    >>> door, candidates = opened(images := Answers(logits, labels), retained=[0, 1])
    >>> noise = Others("noise", "noise and shapes", np.full((5, 3), 0.1))
    >>> found = measured(door, candidates, images, images, [0, 1], [2], ["a", "b", "c"], [noise])
    >>> [(source.name, source.refused.count, source.images) for source in found.sources]
    [('a', 20, 20), ('b', 20, 20), ('noise', 5, 5)]
    """
    known = door.scores(test.logits, test.numbers)
    strange = (_source(o, door.scores(o.logits, o.numbers), known, test.patients, door) for o in others)
    return Gate(
        score=door.score,
        threshold=door.threshold,
        kept=KEPT,
        validation_images=len(validation.labels),
        candidates=candidates,
        unlike=door.pictures is not None,
        cost=_cost(test, known < door.threshold, query),
        sources=[*_hidden(door, validation, test, retained, names), *strange],
    )


def _threshold(scores: Array) -> float:
    """The highest that lets the share ``KEPT`` of images pass."""
    return float(np.sort(scores)[math.floor((1 - KEPT) * len(scores) + 1e-9)])


def _hidden(
    door: Door, validation: Answers, test: Answers, retained: Sequence[int], names: Sequence[str]
) -> Iterator[GateSource]:
    """Each retained class as if the model did not have it, with a threshold of its own."""
    for column in retained:
        own, said = validation.hidden(column), test.hidden(column)
        kept, strange = own.labels != column, said.labels == column
        if said.logits.shape[1] < 2 or not kept.any() or not strange.any():
            continue
        without = replace(door, threshold=_threshold(SCORES[door.score](own.logits[kept])))
        scores = without.scores(said.logits, said.numbers)
        whose = None if said.patients is None else said.patients[~strange]
        others = Others(names[column], "hidden class", said.logits[strange])
        yield _source(others, scores[strange], scores[~strange], whose, without)


def _source(others: Others, strange: Array, known: Array, patients: Array | None, door: Door) -> GateSource:
    """Of images of no class; whose they are is not known, so each counts for itself."""
    whose = None
    if patients is not None:
        places = np.unique(patients, return_inverse=True)[1]
        whose = places, len(places) + np.arange(len(strange))
    area, ends = auroc(known, strange, whose)
    return GateSource(
        name=others.name,
        kind=others.kind,
        images=len(strange),
        auroc=area,
        ci95=ends,
        refused=counted(strange < door.threshold),
    )


def _cost(test: Answers, refused: Array, query: Sequence[int]) -> GateCost:
    queried, right = np.isin(test.labels, query), SINGLE_LABEL.decide(test.logits) == test.labels
    return GateCost(
        retained=among(~queried, refused, test.patients),
        queried=among(queried, refused, test.patients),
        right=among(right, refused, test.patients),
    )
