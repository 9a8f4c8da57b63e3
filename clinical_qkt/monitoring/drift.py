"""Whether new images differ from those of a reference: one permutation test over several scores.

Images are compared class by class of what the model calls them, so that a month with more of one class is no
drift. Within a class called, images of the reference and new ones are exchanged at random; every score is
made of both together, so that nothing tells them apart but drift. The largest of the scores' deviations is
held against the largest of each exchange (max-T of Westfall & Young, *Resampling-Based Multiple Testing*,
1993): all scores together alarm falsely as often as ``level`` says, whatever the number of images.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]
Rule = Literal["look", "features", "certainty"]
RULES: tuple[Rule, ...] = get_args(Rule)
PERMUTATIONS = 4999
LEAST_ALIKE = 10
"""Images of the reference that are called a class, below which new ones called so are not compared."""
_CHUNK = 500


@dataclass(frozen=True)
class Seen:
    """What is kept of images: no image, no name.

    Attributes:
        look: ``(N, L)``, see ``descriptors.LOOK``.
        features: ``(N, K)``, what arrives at the model's head, on the reference's main axes.
        called: ``(N,)`` position of the class that the model names.
        stated: ``(N,)`` the probability that it states for it, 0 to 1.
        patient: ``(N,)`` a number for the patient of each, or another one for each image.
    """

    look: Floats
    features: Floats
    called: Whole
    stated: Floats
    patient: Whole

    def __len__(self) -> int:
        return len(self.called)

    def rows(self, chosen: NDArray[np.bool_] | Whole) -> Seen:
        """Some of the images."""
        return Seen(*(part[chosen] for part in vars(self).values()))


@dataclass(frozen=True)
class Drift:
    """What was found.

    Attributes:
        deviation: by rule, the largest of its scores: in standard deviations of a quiet period.
        p: by rule, adjusted for all rules; not below ``1 / (PERMUTATIONS + 1)``.
        limit: from which deviation on a rule alarms.
        shift: ``(L,)`` how far the numbers of ``look`` moved, in spreads between images of a class.
        compared, left_out: images of the new ones.
    """

    deviation: dict[Rule, float]
    p: dict[Rule, float]
    limit: float
    shift: Floats
    compared: int
    left_out: int


def drift(
    reference: Seen,
    new: Seen,
    *,
    level: float,
    unsure_below: float,
    seed: int,
    permutations: int = PERMUTATIONS,
) -> Drift | None:
    """Compare new images with the reference's.

    Args:
        level: of a false alarm, over all rules together.
        unsure_below: the stated probability below which an image counts as unsure.
        seed: of the exchanges.

    Returns:
        None where no new image is called as at least ``LEAST_ALIKE`` images of the reference are.
    """
    known, counts = np.unique(reference.called, return_counts=True)
    alike = known[counts >= LEAST_ALIKE]
    old, new_alike = (part.rows(np.isin(part.called, alike)) for part in (reference, new))
    if not len(new_alike):
        return None
    is_new = np.repeat([False, True], [len(old), len(new_alike)])
    both = Seen(
        *(np.concatenate(pair) for pair in zip(vars(old).values(), vars(new_alike).values(), strict=True))
    )
    both = Seen(both.look, both.features, both.called, both.stated, _apart(both.patient, is_new))
    scores, groups = scored(both, unsure_below)
    sums = np.concatenate(list(_exchanged(scores, both, is_new, permutations, np.random.default_rng(seed))))
    z = _deviations(sums, groups)
    largest = z.max(1)
    rules = {rule: [i for i, g in enumerate(groups) if g.rule == rule] for rule in RULES}
    own = {rule: float(z[0, columns].max()) for rule, columns in rules.items()}
    return Drift(
        own,
        {rule: float((largest >= value).mean()) for rule, value in own.items()},
        _limit(largest, level),
        _shift(both.look, both.called, is_new),
        len(new_alike),
        len(new) - len(new_alike),
    )


@dataclass(frozen=True)
class Score:
    """Columns that make one score.

    Attributes:
        kind: ``moved`` in any direction, or ``far``: more than before lie at the edge.
    """

    rule: Rule
    kind: Literal["moved", "far"]
    columns: slice


def scored(both: Seen, unsure_below: float) -> tuple[Floats, list[Score]]:
    """Numbers of each image whose sums over the new images are looked at, centred in each class called.

    Returns:
        ``(N, M)``, and which columns belong together.
    """
    parts: list[Floats] = []
    groups: list[Score] = []

    def add(rule: Rule, kind: Literal["moved", "far"], values: Floats) -> None:
        start = sum(p.shape[1] for p in parts)
        parts.append(_centred(values, both.called))
        groups.append(Score(rule, kind, slice(start, start + values.shape[1])))

    described: dict[Rule, Floats] = {"look": both.look, "features": both.features}
    for rule, values in described.items():
        white = _whitened(_centred(values, both.called))
        add(rule, "moved", white)
        add(rule, "far", _farness(white))
    margin = -np.log(np.clip(1 - both.stated, 1e-6, 1))
    add("certainty", "moved", margin[:, None])
    add("certainty", "moved", (both.stated < unsure_below).astype(float)[:, None])
    return np.concatenate(parts, 1), groups


def _farness(white: Floats) -> Floats:
    """How far out an image lies, ``(N, 1)``: its squared distance, with what is extreme drawn in."""
    distance = np.square(white).mean(1, keepdims=True)
    return np.log1p(distance) ** 2


def _centred(values: Floats, called: Whole) -> Floats:
    _, place = np.unique(called, return_inverse=True)
    counts = np.bincount(place)
    means = np.stack([np.bincount(place, column) for column in values.T], 1) / counts[:, None]
    return values - means[place]


def _whitened(residuals: Floats) -> Floats:
    """Residuals with one as the variance along each main axis; axes on which nothing varies are dropped."""
    values, axes = np.linalg.eigh(residuals.T @ residuals / len(residuals))
    keep = values > 1e-8 * max(values.max(), 1e-300)
    return residuals @ (axes[:, keep] / np.sqrt(values[keep]))


def _apart(patient: Whole, is_new: NDArray[np.bool_]) -> Whole:
    """Numbers of patients such that one of the reference and a new one never share one."""
    return patient * 2 + is_new


def _exchanged(
    scores: Floats, both: Seen, is_new: NDArray[np.bool_], permutations: int, rng: np.random.Generator
) -> Iterator[Floats]:
    """The scores' sums over the new images: as they are, then with patients exchanged, ``(1 + P, M)``.

    A patient's images go together. Patients are exchanged with those whose images are mostly called the same.
    """
    names, unit = np.unique(both.patient, return_inverse=True)
    summed = np.stack([np.bincount(unit, column) for column in scores.T], 1).astype(np.float64)
    kind = _commonest(unit, both.called)
    new_unit = np.zeros(len(names), bool)
    new_unit[unit] = is_new
    yield (new_unit.astype(float) @ summed)[None]
    of_kind = [np.flatnonzero(kind == k) for k in np.unique(kind)]
    for start in range(0, permutations, _CHUNK):
        count = min(_CHUNK, permutations - start)
        sums = np.zeros((count, summed.shape[1]))
        for mine in of_kind:
            taken = int(new_unit[mine].sum())
            if taken:
                keys = rng.random((count, len(mine)), np.float32)
                last = np.partition(keys, taken - 1, axis=1)[:, taken - 1 : taken]
                sums += (keys <= last).astype(float) @ summed[mine]
        yield sums


def _commonest(unit: Whole, called: Whole) -> Whole:
    table = np.zeros((unit.max() + 1, called.max() + 1), np.int64)
    np.add.at(table, (unit, called), 1)
    return table.argmax(1)


def _deviations(sums: Floats, groups: list[Score]) -> Floats:
    """Each score of each exchange as a deviation that is normal in a quiet period, ``(1 + P, scores)``.

    Wilson & Hilferty (1931) for those that have no direction.
    """
    found = []
    for group in groups:
        part = sums[:, group.columns]
        part = part - part.mean(0)
        if group.kind == "far":
            found.append(part[:, 0] / max(part.std(), 1e-12))
            continue
        spread = _whitened(part)
        degrees = max(spread.shape[1], 1)
        ratio = np.square(spread).sum(1) / degrees
        found.append((np.cbrt(ratio) - (1 - 2 / (9 * degrees))) / np.sqrt(2 / (9 * degrees)))
    return np.stack(found, 1)


def _limit(largest: Floats, level: float) -> float:
    """The least deviation of which the p-value is at most the level."""
    allowed = int(level * len(largest))
    return float(np.sort(largest)[::-1][max(allowed - 1, 0)])


def _shift(look: Floats, called: Whole, is_new: NDArray[np.bool_]) -> Floats:
    residuals = _centred(look, called)
    moved = residuals[is_new].mean(0) - residuals[~is_new].mean(0)
    return moved / np.maximum(residuals.std(0), 1e-12)


def worst_rule(p: Mapping[Rule, float]) -> Rule:
    """The rule that speaks most clearly."""
    return min(p, key=lambda rule: p[rule])
